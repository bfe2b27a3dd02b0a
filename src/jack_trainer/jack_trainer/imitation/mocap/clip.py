"""A recorded motion in the one form that the rest of Jack knows: eighteen joints of a person, REP-103, metres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from jack_contract.arrays import Float64
from jack_contract.rotation import yaw
from jack_trainer.imitation.mocap.skeleton import Skeleton, Take
from jack_trainer.imitation.mocap.source import MAX_RATE, MIN_RATE, MocapError, Source

SIDES = ("left", "right")
_MIDDLE = ("pelvis", "chest", "neck", "head")
_PAIRED = ("hip", "knee", "ankle", "toe", "shoulder", "elbow", "wrist")
#: The joints of a clip. A joint's place is where its segment begins: the knee's orientation is that of the shank.
#: `neck` is its lower end, between the shoulders; `toe` is the ball of the foot.
JOINTS = (*_MIDDLE, *(f"{side}_{part}" for side in SIDES for part in _PAIRED))
#: Pairs of joints with a bone between them, to be drawn.
BONES = (
    ("pelvis", "chest"),
    ("chest", "neck"),
    ("neck", "head"),
    *(
        (f"{side}_{a}" if a in _PAIRED else a, f"{side}_{b}")
        for side in SIDES
        for a, b in (
            ("pelvis", "hip"),
            ("hip", "knee"),
            ("knee", "ankle"),
            ("ankle", "toe"),
            ("neck", "shoulder"),
            ("shoulder", "elbow"),
            ("elbow", "wrist"),
        )
    ),
)
#: For each joint the index of its partner on the other side (its own in the middle): the left-right map.
MIRROR_INDEX = tuple(
    JOINTS.index({"left": "right", "right": "left"}.get(side, side) + joint.removeprefix(side))
    for joint in JOINTS
    for side in (joint.partition("_")[0],)
)

#: How programs call these joints. "{Side}" is Left or Right, "{side}" left or right, "{s}" l or r; of several names
#: the first that is there counts.
_NAMINGS: dict[str, dict[str, tuple[str, ...]]] = {
    "Jack": {part: (f"{{side}}_{part}",) for part in _PAIRED} | {part: (part,) for part in _MIDDLE},
    "CMU, ASF": {
        "pelvis": ("root",),
        "chest": ("thorax",),
        "neck": ("lowerneck",),
        "head": ("head",),
        "hip": ("{s}femur",),
        "knee": ("{s}tibia",),
        "ankle": ("{s}foot",),
        "toe": ("{s}toes",),
        "shoulder": ("{s}humerus",),
        "elbow": ("{s}radius",),
        "wrist": ("{s}wrist", "{s}hand"),
    },
    "CMU, cgspeed's BVH": {
        "pelvis": ("Hips",),
        "chest": ("Chest2", "Chest"),
        "neck": ("Neck",),
        "head": ("Head",),
        "hip": ("{Side}Hip",),
        "knee": ("{Side}Knee",),
        "ankle": ("{Side}Ankle",),
        "toe": ("{Side}Toe", "{Side}Ankle_end"),
        "shoulder": ("{Side}Shoulder",),
        "elbow": ("{Side}Elbow",),
        "wrist": ("{Side}Wrist",),
    },
    "MotionBuilder, Mixamo": {
        "pelvis": ("Hips",),
        "chest": ("Spine2", "Spine1", "Spine"),
        "neck": ("Neck",),
        "head": ("Head",),
        "hip": ("{Side}UpLeg",),
        "knee": ("{Side}Leg",),
        "ankle": ("{Side}Foot",),
        "toe": ("{Side}ToeBase", "{Side}Toe", "{Side}Foot_end"),
        "shoulder": ("{Side}Arm",),
        "elbow": ("{Side}ForeArm",),
        "wrist": ("{Side}Hand",),
    },
}
#: What one unit of a file may be [m]: metre, centimetre, millimetre, inch, and that of the CMU database, 1/0.45
#: inch (mocap.cs.cmu.edu, frequently asked questions).
_UNITS = (1.0, 0.01, 0.001, 0.0254, 0.0254 / 0.45)
#: From hip to ankle [m]: of a person of 1.7 m (Winter, Biomechanics and Motor Control of Human Movement, 2009,
#: figure 4.1: 0.491 of the height), and of anybody.
USUAL_LEG, _SHORTEST_LEG, _LONGEST_LEG = 0.835, 0.45, 1.25
#: Nobody moves a joint faster [m/s], or walks further away than this [m]: the file is damaged.
_FASTEST, _FURTHEST = 50.0, 1000.0
#: How exactly the axes of a rest pose must lie along those of the file: cosine.
_STRAIGHT = 0.85


@dataclass(frozen=True)
class Clip:
    """A recorded motion. World: x forward as the pelvis looks at first, y left, z up; it starts at x = y = 0."""

    #: of the file, without its ending
    name: str
    #: name of the file
    file: str
    #: of the file's content, hexadecimal
    sha256: str
    #: as "BVH"
    format: str
    #: frames a second [Hz]
    rate: float
    #: whether the end goes on with the beginning
    loop: bool
    #: places in world in the order of JOINTS, (T, J, 3) [m]
    position: Float64
    #: in world, unit quaternions x y z w, (T, J, 4); no joint of one who stands upright and looks along x is turned
    orientation: Float64
    #: places of the joints when the person stands like that, from the pelvis, (J, 3) [m]
    rest: Float64
    #: what was done or assumed on reading
    notes: tuple[str, ...] = ()

    @property
    def frames(self) -> int:
        """Number of frames T."""
        return len(self.position)

    @property
    def duration(self) -> float:
        """From the first frame to the last [s]."""
        return (self.frames - 1) / self.rate

    @property
    def leg(self) -> float:
        """Mean length of the legs, hip to knee to ankle [m]."""
        return leg_length({name: self.rest[index] for index, name in enumerate(JOINTS)})

    def at(self, joint: str) -> Float64:
        """Places of one joint, (T, 3) [m]."""
        return self.position[:, JOINTS.index(joint)]

    def rest_of(self, joint: str) -> Float64:
        """Place of one joint when the person stands upright, from the pelvis, (3,) [m]."""
        return self.rest[JOINTS.index(joint)]

    def turned(self, joint: str) -> Rotation:
        """Orientations of one joint, (T,)."""
        return Rotation.from_quat(self.orientation[:, JOINTS.index(joint)])


def joint_map(source: Source, names: tuple[str, ...]) -> list[int]:
    """Which joints of a skeleton are those of a clip.

    Args:
        source: where the skeleton is from.
        names: of its joints.

    Returns:
        An index into `names` for each of JOINTS.

    Raises:
        MocapError: no known naming fits; says what is missing to the nearest.
    """
    lacks: list[tuple[list[str], str]] = []
    for naming, parts in _NAMINGS.items():
        found, missing = [], []
        for joint in JOINTS:
            options = _options(joint, parts)
            index = next((names.index(option) for option in options if option in names), None)
            found.append(index)
            missing += [options[0]] if index is None else []
        if not missing:
            return found
        lacks.append((missing, naming))
    missing, naming = min(lacks, key=lambda lack: len(lack[0]))
    raise MocapError(
        f"{source.path} names its joints in a way that is not known. Of the nearest, {naming}, it lacks "
        f"{', '.join(missing[:8])}; it has {', '.join(names[:40])}."
    )


def _options(joint: str, parts: dict[str, tuple[str, ...]]) -> list[str]:
    side, _, part = joint.rpartition("_")
    return [name.format(Side=side.capitalize(), side=side, s=side[:1]) for name in parts[part]]


def leg_length(places: dict[str, Float64]) -> float:
    """Mean length of the legs, from hip to knee to ankle, of places of the joints."""
    bones = [
        np.linalg.norm(places[f"{side}_{b}"] - places[f"{side}_{a}"])
        for side in SIDES
        for a, b in (("hip", "knee"), ("knee", "ankle"))
    ]
    return float(np.sum(bones) / 2)


def metres_per_unit(source: Source, skeleton: Skeleton) -> float:
    """The unit of a file that does not say it [m]: the one that makes the legs a person's.

    Raises:
        MocapError: none does.
    """
    leg = _leg_of(source, skeleton)
    fits = [unit for unit in _UNITS if _SHORTEST_LEG <= leg * unit <= _LONGEST_LEG]
    if not fits:
        options = ", ".join(f"{unit:.4g}" for unit in _UNITS)
        raise source.wrong(
            f"legs of {leg:.4g} units",
            f"{_SHORTEST_LEG} to {_LONGEST_LEG} m for one of the units {options} m",
        )
    return min(fits, key=lambda unit: abs(np.log(leg * unit / USUAL_LEG)))


def _leg_of(source: Source, skeleton: Skeleton) -> float:
    rest = skeleton.rest()[joint_map(source, skeleton.names)]
    return leg_length(dict(zip(JOINTS, rest, strict=True)))


def clip_of(source: Source, take: Take, kind: str) -> Clip:
    """A file's motion in the form of a clip.

    Args:
        source: the file.
        take: what it says.
        kind: the name of its format.

    Raises:
        MocapError: it shows no upright person, or moves as none can.
    """
    chosen = joint_map(source, take.skeleton.names)
    rest = take.skeleton.rest()[chosen]
    leg = leg_length(dict(zip(JOINTS, rest, strict=True)))
    if not _SHORTEST_LEG <= leg <= _LONGEST_LEG:
        raise source.wrong(f"legs of {leg:.3g} m", f"{_SHORTEST_LEG} to {_LONGEST_LEG} m")
    if not MIN_RATE <= take.rate <= MAX_RATE or len(take.root) < 2:
        raise source.wrong(
            f"{len(take.root)} frames at {take.rate:.4g} Hz",
            f"at least 2 frames at {MIN_RATE:g} to {MAX_RATE:g} Hz",
        )
    body = _axes(source, rest)
    world = body if take.world is None else take.world
    places, turns = take.places()
    position = places[:, chosen] @ world.T
    to_world, from_body = Rotation.from_matrix(world), Rotation.from_matrix(body.T)
    orientation = np.stack([(to_world * turns[joint] * from_body).as_quat() for joint in chosen], axis=1)
    _check(source, position, take.rate)
    heading = Rotation.from_euler("z", -yaw(orientation[0, 0]))
    position = heading.apply((position - position[0, 0] * [1, 1, 0]).reshape(-1, 3)).reshape(position.shape)
    orientation = (heading * Rotation.from_quat(orientation.reshape(-1, 4))).as_quat().reshape(orientation.shape)
    return Clip(
        name=source.path.stem,
        file=source.path.name,
        sha256=source.sha256,
        format=kind,
        rate=take.rate,
        loop=take.loop,
        position=position,
        orientation=orientation,
        rest=(rest - rest[0]) @ body.T,
        notes=take.notes,
    )


def _axes(source: Source, rest: Float64) -> Float64:
    """The axes x forward, y left, z up of a rest pose as rows in the coordinates of its file, (3, 3)."""
    place = dict(zip(JOINTS, rest, strict=True))
    up = _along_axis(place["neck"] - (place["left_ankle"] + place["right_ankle"]) / 2)
    left = _along_axis(place["left_hip"] - place["right_hip"])
    if up is None or left is None or abs(up @ left) > 0.5:
        raise source.wrong(
            "a rest pose that does not stand upright along an axis of the file",
            "a person who stands upright when no joint is turned",
        )
    return np.stack([np.cross(left, up), left, up])


def _along_axis(vector: Float64) -> Float64 | None:
    """The axis of the file that a vector points along; None if there is none."""
    length = np.linalg.norm(vector)
    axis = np.abs(vector).argmax()
    if not length > 0 or abs(vector[axis]) < _STRAIGHT * length:
        return None
    return np.eye(3)[axis] * np.sign(vector[axis])


def _check(source: Source, position: Float64, rate: float) -> None:
    """Refuse what no person does."""
    far = np.linalg.norm(position - position[0, 0], axis=-1)
    if not np.isfinite(far).all() or far.max() > _FURTHEST:
        frame = int(np.argmax(~(far.max(axis=1) <= _FURTHEST)))
        raise source.wrong(f"a joint far away in frame {frame + 1}", f"all within {_FURTHEST:g} m of the start")
    speed = np.linalg.norm(np.diff(position, axis=0), axis=-1) * rate
    if speed.max() > _FASTEST:
        frame, joint = np.unravel_index(speed.argmax(), speed.shape)
        raise source.wrong(
            f"{JOINTS[joint]} at {speed.max():.0f} m/s in frame {frame + 2}", f"at most {_FASTEST:g} m/s"
        )
