import io
import json
import math
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jack_trainer.imitation.mocap import source as source_module
from jack_trainer.imitation.mocap.amass import HEIGHT
from jack_trainer.imitation.mocap.clip import BONES, JOINTS, MIRROR_INDEX, Clip
from jack_trainer.imitation.mocap.reader import read_clip
from jack_trainer.imitation.mocap.source import MocapError
from jack_trainer.imitation.mocap.timing import resampled, unrolled

#: A person of MotionBuilder's naming: joint, parent, offset [m]; y up, z forward. Thighs and shanks are 0.4 m.
PERSON = (
    ("Hips", "", (0.0, 0.0, 0.0)),
    ("LeftUpLeg", "Hips", (0.1, 0.0, 0.0)),
    ("LeftLeg", "LeftUpLeg", (0.0, -0.4, 0.0)),
    ("LeftFoot", "LeftLeg", (0.0, -0.4, 0.0)),
    ("LeftToeBase", "LeftFoot", (0.0, -0.05, 0.12)),
    ("RightUpLeg", "Hips", (-0.1, 0.0, 0.0)),
    ("RightLeg", "RightUpLeg", (0.0, -0.4, 0.0)),
    ("RightFoot", "RightLeg", (0.0, -0.4, 0.0)),
    ("RightToeBase", "RightFoot", (0.0, -0.05, 0.12)),
    ("Spine", "Hips", (0.0, 0.2, 0.0)),
    ("Neck", "Spine", (0.0, 0.3, 0.0)),
    ("Head", "Neck", (0.0, 0.1, 0.0)),
    ("LeftArm", "Spine", (0.2, 0.25, 0.0)),
    ("LeftForeArm", "LeftArm", (0.3, 0.0, 0.0)),
    ("LeftHand", "LeftForeArm", (0.25, 0.0, 0.0)),
    ("RightArm", "Spine", (-0.2, 0.25, 0.0)),
    ("RightForeArm", "RightArm", (-0.3, 0.0, 0.0)),
    ("RightHand", "RightForeArm", (-0.25, 0.0, 0.0)),
)
Y_UP = np.eye(3)
#: From these axes (y up, z forward) to those of another file that says the same.
Z_UP = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def bvh(frames, unit=1.0, axes=Y_UP, order="ZYX", person=PERSON, time=0.02) -> str:
    """A BVH file of the person: each frame a place of the root [m] and angles [degree] of some joints, by name."""
    lines = ["HIERARCHY"]

    def write(name, parent, offset, depth):
        where = " ".join(f"{number:.6f}" for number in axes @ np.array(offset) / unit)
        lines.append(f"{'JOINT' if parent else 'ROOT'} {name}")
        lines.extend(["{", f"OFFSET {where}"])
        channels = [] if parent else ["Xposition", "Yposition", "Zposition"]
        channels += [f"{axis}rotation" for axis in order]
        lines.append(f"CHANNELS {len(channels)} {' '.join(channels)}")
        below = [joint for joint in person if joint[1] == name]
        for joint in below:
            write(*joint, depth + 1)
        if not below:
            lines.extend(["End Site", "{", "OFFSET 0 0 0", "}"])
        lines.append("}")

    write(*person[0], 0)
    written = [line.split()[1] for line in lines if line.startswith(("ROOT", "JOINT"))]
    lines += ["MOTION", f"Frames: {len(frames)}", f"Frame Time: {time}"]
    for place, angles in frames:
        numbers = [*(axes @ np.array(place) / unit)]
        for name in written:
            numbers += angles.get(name, (0.0, 0.0, 0.0))
        lines.append(" ".join(f"{number:.6f}" for number in numbers))
    return "\n".join(lines) + "\n"


STILL = [((0.0, 0.85, 0.0), {})] * 3


def clip_of(folder: Path, text: str | bytes, name="person.bvh") -> Clip:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_clip(path)


def test_a_bvh_file_is_a_person_in_metres_with_z_up_and_x_forward(tmp_path):
    clip = clip_of(tmp_path, bvh([((0.3, 0.85, 0.5), {}), ((0.3, 0.85, 0.52), {})]))
    assert (clip.frames, clip.format, clip.file, clip.name) == (2, "BVH", "person.bvh", "person")
    assert clip.rate == pytest.approx(50) and clip.duration == pytest.approx(0.02)
    assert clip.leg == pytest.approx(0.8)
    # It starts at x = y = 0, whatever the file says, and goes forward.
    np.testing.assert_allclose(clip.at("pelvis"), [[0, 0, 0.85], [0.02, 0, 0.85]], atol=1e-6)
    np.testing.assert_allclose(clip.at("left_ankle")[0], [0, 0.1, 0.05], atol=1e-6)
    np.testing.assert_allclose(clip.at("right_toe")[0], [0.12, -0.1, 0.0], atol=1e-6)
    np.testing.assert_allclose(clip.at("left_wrist")[0], [0, 0.75, 1.3], atol=1e-6)
    np.testing.assert_allclose(clip.turned("head").magnitude(), 0, atol=1e-6)


def test_bvh_angles_turn_joints_in_the_order_of_the_channels(tmp_path):
    # About x (to the left) by 90 degrees: a thigh that hangs along -y points along -z, backwards.
    bent = clip_of(tmp_path, bvh([((0, 0.85, 0), {"LeftUpLeg": (0, 0, 90.0)})] * 2))
    np.testing.assert_allclose(bent.at("left_knee")[0], [-0.4, 0.1, 0.85], atol=1e-6)
    np.testing.assert_allclose(bent.at("left_toe")[0], [-0.85, 0.1, 0.73], atol=1e-6)
    # Z by 90, then about the turned x by 90: Rz Rx takes -y to -z, and z to y's image -x... so the arm, along x,
    # goes to y (up) by Rz alone; Rx first leaves x where it is.
    angles = {"LeftArm": (90.0, 0, 90.0)}
    up = clip_of(tmp_path, bvh([((0, 0.85, 0), angles)] * 2))
    np.testing.assert_allclose(up.at("left_elbow")[0], [0, 0.2, 1.3 + 0.3], atol=1e-6)
    # The other order: X first in the file, so that Rx Rz takes x to y and then to z (forward).
    ahead = clip_of(tmp_path, bvh([((0, 0.85, 0), angles)] * 2, order="XYZ"))
    np.testing.assert_allclose(ahead.at("left_elbow")[0], [0.3, 0.2, 1.3], atol=1e-6)


def test_the_first_look_of_the_pelvis_is_forward(tmp_path):
    # Turned about y (up) by 90 degrees, z forward becomes x: the file's person walks along x.
    frames = [((x, 0.85, 0.0), {"Hips": (0, 90.0, 0)}) for x in (0.0, 0.02, 0.04)]
    clip = clip_of(tmp_path, bvh(frames))
    np.testing.assert_allclose(clip.at("pelvis")[:, 0], [0, 0.02, 0.04], atol=1e-6)
    np.testing.assert_allclose(clip.at("left_hip")[0], [0, 0.1, 0.85], atol=1e-6)


@pytest.mark.parametrize("unit", [1.0, 0.01, 0.001, 0.0254, 0.0254 / 0.45])
def test_the_unit_follows_from_the_legs(tmp_path, unit):
    frames = [((0.0, 0.85, 0.1 * i), {}) for i in range(3)]
    clip = clip_of(tmp_path, bvh(frames, unit))
    assert clip.leg == pytest.approx(0.8, abs=1e-4)
    np.testing.assert_allclose(clip.at("pelvis")[-1], [0.2, 0, 0.85], atol=1e-4)
    assert f"{unit:.4g} m" in clip.notes[0]


def test_axes_follow_from_the_rest_pose(tmp_path):
    turned = {"LeftUpLeg": (0, 0, -30.0)}
    y_up = clip_of(tmp_path, bvh([((0.0, 0.85, 0.1 * i), turned) for i in range(3)]))
    # The same person with z up and x forward: the axis to the left is y there, so that the angle is about y.
    z_up = clip_of(
        tmp_path, bvh([((0.0, 0.85, 0.1 * i), {"LeftUpLeg": (0, -30.0, 0)}) for i in range(3)], axes=Z_UP)
    )
    np.testing.assert_allclose(z_up.position, y_up.position, atol=1e-5)
    np.testing.assert_allclose(abs((z_up.orientation * y_up.orientation).sum(-1)), 1, atol=1e-6)
    # Legs that stick out to the front, as some programs have them at rest.
    sitting = [
        (name, parent, (x, z, -y) if "Leg" in name or "Foot" in name else (x, y, z))
        for name, parent, (x, y, z) in PERSON
    ]
    with pytest.raises(MocapError, match="stands upright when no joint is turned"):
        clip_of(tmp_path, bvh(STILL, person=sitting))


def test_the_left_right_map_is_one():
    assert [MIRROR_INDEX[i] for i in MIRROR_INDEX] == list(range(len(JOINTS)))
    assert JOINTS[MIRROR_INDEX[JOINTS.index("left_knee")]] == "right_knee"
    assert MIRROR_INDEX[JOINTS.index("pelvis")] == 0
    assert {joint for bone in BONES for joint in bone} == set(JOINTS)


def test_a_first_frame_for_calibration_is_left_out(tmp_path):
    stretched = ((0.0, 0.85, 0.0), {"LeftArm": (80.0, 0, 0)})
    clip = clip_of(tmp_path, bvh([stretched, *STILL, *STILL]))
    assert clip.frames == 6 and "calibration" in clip.notes[1]
    assert clip_of(tmp_path, bvh([*STILL, *STILL])).frames == 6


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("HIERARCHY", "HIERARCHI", "line 1: found 'HIERARCHI'; expected 'HIERARCHY'"),
        (
            "OFFSET 0.000000 0.000000 0.000000",
            "OFFSET 0 0 nan",
            "line 4: found 'nan'; expected an offset, a number",
        ),
        ("OFFSET 0.000000 0.000000 0.000000", "OFFSET 0 0 1e300", "found '1e300'; expected an offset"),
        ("OFFSET 0.000000 0.000000 0.000000", "OFFSET 0 0", "line 5: found 'CHANNELS'; expected an offset"),
        (
            "CHANNELS 6",
            "CHANNELS 7",
            "line 5: found '7'; expected the number of channels, a whole number from 0 to 6",
        ),
        ("Xposition Yposition", "Xposition Xposition", "expected each channel at most once"),
        ("JOINT LeftLeg", "JOINT LeftUpLeg", "found 'LeftUpLeg'; expected a name that no other joint has"),
        ("JOINT LeftLeg", "JOINT Schienbein", "of the nearest, MotionBuilder, Mixamo, it lacks LeftLeg"),
        ("Frames: 3", "Frames: 4", "found 3 frames; expected 4 frames, as its header says"),
        ("Frames: 3", "Frames: 2", "expected the end of the file after 2 frames"),
        ("Frames: 3", "Frames: 0", "found '0'; expected the number of frames, a whole number from 1"),
        ("Frames: 3", "Frames: 99999999", "found '99999999'; expected the number of frames"),
        ("Frame Time: 0.02", "Frame Time: 0", "expected a time of a frame between 0.001 and 0.2 s"),
        ("Frame Time: 0.02", "Frame Time: inf", "found 'inf'; expected the time of a frame"),
        ("0.850000", "0.85x0", "line 115: found '0.85x0'; expected a channel's value"),
        ("0.850000", "8_5", "found '8_5'; expected a channel's value"),
        ("0.850000 0.000000", "0.850000", "found '56 numbers'; expected 57 numbers, one for each channel"),
        ("0.850000", "85000", "a joint far away in frame 2; expected all within 1000 m"),
        ("0.850000", "8.5", "m/s in frame 2; expected at most 50 m/s"),
        ("-0.400000", "-1.500000", "found legs of 3 units; expected 0.45 to 1.25 m for one of the units"),
    ],
)
def test_a_damaged_bvh_file_is_refused_in_words(tmp_path, old, new, said):
    text = bvh(STILL)
    assert old in text
    count = 1 if old.startswith(("OFFSET", "0.85")) else -1
    with pytest.raises(MocapError) as error:
        clip_of(tmp_path, text.replace(old, new, count))
    assert said.lower() in str(error.value).lower() and "person.bvh" in str(error.value)


def test_a_torn_or_endless_file_is_refused(tmp_path, monkeypatch):
    text = bvh(STILL)
    with pytest.raises(MocapError, match="line 8: found the end of the file; expected 'CHANNELS'"):
        clip_of(tmp_path, text[:200].rpartition("\n")[0])
    with pytest.raises(MocapError, match="is empty"):
        clip_of(tmp_path, "")
    with pytest.raises(MocapError, match="at most 256 joints"):
        clip_of(tmp_path, text.replace("End Site\n{\nOFFSET 0 0 0\n}\n", "End Site\n{\nOFFSET 0 0 0\n}\n" * 60))
    with pytest.raises(MocapError, match=r"found 100,004 characters; expected at most 100,000 on a line"):
        clip_of(tmp_path, text + "0.1 " * 25_001)
    with pytest.raises(MocapError, match="No such file"):
        read_clip(tmp_path / "nothing.bvh")
    with pytest.raises(MocapError, match=r"ending that is not known; known are \.bvh, \.amc"):
        read_clip(tmp_path / "person.fbx")
    monkeypatch.setattr(source_module, "MAX_FILE_BYTES", 100)
    with pytest.raises(MocapError, match="more than 100 bytes"):
        clip_of(tmp_path, text)


#: Bones of the CMU database: name, parent, direction, length in units of 1/0.45 inch (0.05644 m).
BONES_OF_CMU = (
    ("lfemur", "root", (0.0, -1.0, 0.0), 7.0),
    ("ltibia", "lfemur", (0.0, -1.0, 0.0), 7.0),
    ("lfoot", "ltibia", (0.0, 0.0, 1.0), 2.0),
    ("ltoes", "lfoot", (0.0, 0.0, 1.0), 1.0),
    ("rfemur", "root", (0.0, -1.0, 0.0), 7.0),
    ("rtibia", "rfemur", (0.0, -1.0, 0.0), 7.0),
    ("rfoot", "rtibia", (0.0, 0.0, 1.0), 2.0),
    ("rtoes", "rfoot", (0.0, 0.0, 1.0), 1.0),
    ("thorax", "root", (0.0, 1.0, 0.0), 5.0),
    ("lowerneck", "thorax", (0.0, 1.0, 0.0), 2.0),
    ("head", "lowerneck", (0.0, 1.0, 0.0), 2.0),
    ("lclavicle", "thorax", (1.0, 0.0, 0.0), 3.0),
    ("lhumerus", "lclavicle", (1.0, 0.0, 0.0), 5.0),
    ("lradius", "lhumerus", (1.0, 0.0, 0.0), 4.0),
    ("lwrist", "lradius", (1.0, 0.0, 0.0), 1.0),
    ("rclavicle", "thorax", (-1.0, 0.0, 0.0), 3.0),
    ("rhumerus", "rclavicle", (-1.0, 0.0, 0.0), 5.0),
    ("rradius", "rhumerus", (-1.0, 0.0, 0.0), 4.0),
    ("rwrist", "rradius", (-1.0, 0.0, 0.0), 1.0),
)
#: Bones between the root and the hips, as the database has them.
HIPS = (("lhipjoint", "root", (1.0, 0.0, 0.0), 2.0), ("rhipjoint", "root", (-1.0, 0.0, 0.0), 2.0))
UNIT = 0.0254 / 0.45


def asf(axis="0 0 0 XYZ") -> str:
    bones = [*HIPS, *BONES_OF_CMU]
    below = {"lfemur": "lhipjoint", "rfemur": "rhipjoint"}
    lines = ["# made for a test", ":version 1.10", ":name VICON", ":units", "mass 1.0", "length 0.45", "angle deg"]
    lines += [":documentation", "lines: begin anything", ":root", "order TX TY TZ RX RY RZ", "axis XYZ"]
    lines += ["position 0 0 0", "orientation 0 0 0", ":bonedata"]
    for number, (name, _, direction, length) in enumerate(bones, 1):
        where = " ".join(map(str, direction))
        lines += ["begin", f"id {number}", f"name {name}", f"direction {where}", f"length {length}"]
        lines += [f"axis {axis if name == 'ltibia' else '0 0 0 XYZ'}"]
        if name in ("lfemur", "ltibia"):
            lines += ["dof rx ry rz", "limits (-160 20)", "(-70 70)", "(-60 70)"]
        lines += ["end"]
    lines += [":hierarchy", "begin", "root lhipjoint rhipjoint thorax"]
    for name, parent, _, _ in BONES_OF_CMU:
        if parent != "root" or name in below:
            lines.append(f"{below.get(name, parent)} {name}")
    return "\n".join([*lines, "end"]) + "\n"


def amc(frames) -> str:
    lines = ["#!OML:ASF a.asf", ":FULLY-SPECIFIED", ":DEGREES"]
    for number, (root, femur, tibia) in enumerate(frames, 1):
        lines += [str(number), f"root {root}", f"lfemur {femur}", f"ltibia {tibia}"]
    return "\n".join(lines) + "\n"


def acclaim(folder: Path, skeleton: str, motion: str) -> Clip:
    (folder / "07.asf").write_text(skeleton)
    return clip_of(folder, motion, "07_01.amc")


REST = ("0 15 0 0 0 0", "0 0 0", "0 0 0")


def test_asf_and_amc_are_read_with_the_unit_that_they_state(tmp_path):
    clip = acclaim(tmp_path, asf(), amc([REST, ("0 15 2 0 0 0", "0 0 0", "0 0 0")]))
    assert clip.rate == 120 and clip.leg == pytest.approx(14 * UNIT) and "0.05644 m" in clip.notes[0]
    np.testing.assert_allclose(clip.at("pelvis"), [[0, 0, 15 * UNIT], [2 * UNIT, 0, 15 * UNIT]], atol=1e-9)
    np.testing.assert_allclose(clip.at("left_hip")[0], [0, 2 * UNIT, 15 * UNIT], atol=1e-9)
    np.testing.assert_allclose(clip.at("left_ankle")[0], [0, 2 * UNIT, UNIT], atol=1e-9)
    np.testing.assert_allclose(clip.at("left_toe")[0], [2 * UNIT, 2 * UNIT, UNIT], atol=1e-9)
    np.testing.assert_allclose(clip.at("right_wrist")[0], [0, -12 * UNIT, 20 * UNIT], atol=1e-9)


def test_amc_angles_are_about_the_axes_of_the_bone(tmp_path):
    # The thigh by -90 degrees about x: from -y to +z, forward. The shank goes along, its own angles are zero.
    clip = acclaim(tmp_path, asf(), amc([("0 15 0 0 0 0", "-90 0 0", "0 0 0")] * 2))
    np.testing.assert_allclose(clip.at("left_ankle")[0], [14 * UNIT, 2 * UNIT, 15 * UNIT], atol=1e-9)
    # The shank's frame is turned by 90 degrees about z: its x is the world's y, and -90 about it leaves -y alone.
    turned = acclaim(tmp_path, asf("0 0 90 XYZ"), amc([("0 15 0 0 0 0", "0 0 0", "-90 0 0")] * 2))
    np.testing.assert_allclose(turned.at("left_ankle")[0], [0, 2 * UNIT, UNIT], atol=1e-9)
    # Its y is then the world's -x: 90 degrees about it turn -y as -90 about x does, forward.
    turned = acclaim(tmp_path, asf("0 0 90 XYZ"), amc([("0 15 0 0 0 0", "0 0 0", "0 90 0")] * 2))
    np.testing.assert_allclose(turned.at("left_ankle")[0], [7 * UNIT, 2 * UNIT, 8 * UNIT], atol=1e-9)
    # rx, then ry, about axes that stay: -90 about x brings the thigh forward (z), 90 about y then to the left (x).
    both = acclaim(tmp_path, asf(), amc([("0 15 0 0 0 0", "-90 90 0", "0 0 0")] * 2))
    np.testing.assert_allclose(both.at("left_knee")[0], [0, 9 * UNIT, 15 * UNIT], atol=1e-9)


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("asf", "length 0.45", "length nan", "found 'nan'; expected the scale of lengths"),
        ("asf", "length 0.45", "length 0", "expected a scale of lengths from 0.001 to 1000"),
        ("asf", "name lfemur", "name ltibia", "found 'ltibia'; expected a name that no other bone has"),
        ("asf", "dof rx ry rz", "dof rx ry rq", "found 'rx ry rq'; expected each at most once of rx, ry, rz"),
        ("asf", "axis 0 0 0 XYZ", "axis 0 0 0 XXZ", "found 'XXZ'; expected an order of axes"),
        ("asf", "lfemur ltibia", "lfemur tail", "found 'tail'; expected a bone of :bonedata"),
        (
            "asf",
            "lfemur ltibia",
            "lfemur ltibia\nltibia lfemur",
            "found 'lfemur'; expected each bone below one other",
        ),
        ("asf", "lfemur ltibia\n", "", "found bones without a parent: ltibia"),
        ("asf", ":hierarchy", ":hierarchies", "found ':hierarchies'; expected a section"),
        (
            "asf",
            ":hierarchy\nbegin\nroot lhipjoint rhipjoint thorax",
            ":hierarchy\nbegin",
            "without a parent: lhip",
        ),
        (
            "amc",
            "lfemur 0 0 0",
            "tail 0 0 0",
            "found 'tail'; expected once in a frame, a bone that the skeleton lets",
        ),
        (
            "amc",
            "lfemur 0 0 0",
            "lfemur 0 0",
            "07_01.amc, line 6: found 'lfemur 0 0'; expected 3 numbers for lfemur",
        ),
        ("amc", "lfemur 0 0 0", "lfemur 0 0 inf", "found 'inf'; expected a number for lfemur"),
        ("amc", "lfemur 0 0 0\n", "", "found 'frame 1 without lfemur'; expected every bone that can move"),
        ("amc", "\n2\n", "\n3\n", "found '3'; expected frame 2 of at most"),
        ("amc", ":DEGREES", "DEGREES", "found 'DEGREES'; expected a line that begins with ':'"),
    ],
)
def test_damaged_acclaim_files_are_refused_in_words(tmp_path, file, old, new, said):
    texts = {"asf": asf(), "amc": amc([REST, REST])}
    assert old in texts[file]
    texts[file] = texts[file].replace(old, new, 1)
    with pytest.raises(MocapError) as error:
        acclaim(tmp_path, texts["asf"], texts["amc"])
    assert said in str(error.value)


def test_an_amc_file_finds_its_skeleton_or_says_which(tmp_path):
    with pytest.raises(MocapError, match=r"needs its skeleton. Put 07\.asf beside it, or name one with --skeleton"):
        clip_of(tmp_path, amc([REST, REST]), "07_01.amc")
    (tmp_path / "other.asf").write_text(asf())
    assert read_clip(tmp_path / "07_01.amc").frames == 2
    (tmp_path / "third.asf").write_text(asf())
    with pytest.raises(MocapError, match=r"there are other\.asf, third\.asf"):
        read_clip(tmp_path / "07_01.amc")
    assert read_clip(tmp_path / "07_01.amc", tmp_path / "third.asf").frames == 2


def deepmimic(frames, loop="none") -> str:
    return json.dumps({"Loop": loop, "Frames": frames})


def frame(x=0.0, knee=0.0, elbow=0.0, root=(1.0, 0, 0, 0), duration=0.04) -> list[float]:
    """A frame in which only a few things differ from a person who stands."""
    still = [1.0, 0, 0, 0]
    leg, arm = [*still, knee, *still], [*still, elbow]
    return [duration, x, 0.9, 0.0, *root, *still, *still, *leg, *arm, *leg, *arm]


def test_deepmimic_frames_move_its_humanoid(tmp_path):
    clip = clip_of(tmp_path, deepmimic([frame(), frame(0.02, -math.pi / 2, math.pi / 2), frame(0.04)]), "walk.txt")
    assert clip.rate == pytest.approx(25) and not clip.loop and clip.leg == pytest.approx(0.421546 + 0.40987)
    np.testing.assert_allclose(clip.at("left_knee")[1], [0.02, 0.084887, 0.9 - 0.421546], atol=1e-9)
    # Knees bend backwards, elbows forwards.
    np.testing.assert_allclose(clip.at("left_ankle")[1], [0.02 - 0.40987, 0.084887, 0.9 - 0.421546], atol=1e-9)
    shoulder = np.array([0.02 - 0.02405, -0.18311, 0.9 + 0.236151 + 0.2435])
    np.testing.assert_allclose(clip.at("right_wrist")[1], shoulder + np.array([0.258947, 0, -0.274788]), atol=1e-9)
    # Turned to the left by 90 degrees, about y up: w x y z.
    half = math.sqrt(0.5)
    left = clip_of(tmp_path, deepmimic([frame(), frame(root=(half, 0, half, 0)), frame()], "wrap"), "walk.txt")
    np.testing.assert_allclose(left.at("left_hip")[1], [-0.084887, 0, 0.9], atol=1e-9)
    assert left.loop


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "found no JSON"),
        ("[]", "found no list 'Frames'"),
        (deepmimic([frame()]), "found 1 frames; expected 2 to"),
        (deepmimic([frame(), frame()[:-1]]), "found 43 numbers in frame 2; expected 44"),
        (deepmimic([frame(), [*frame()[:-1], None]]), "something in frame 2 that is no number"),
        (deepmimic([frame(), [*frame()[:-1], True]]), "something in frame 2 that is no number"),
        (deepmimic([frame(), [*frame()[:-1], math.nan]]), "something in frame 2 that is no number"),
        (deepmimic([frame(), frame(root=(2.0, 0, 0, 0))]), "no unit quaternion for pelvis in frame 2"),
        (deepmimic([frame(duration=0), frame(duration=0)]), "found durations of frames"),
        (deepmimic([frame(duration=0.04), frame(duration=0.02), frame()]), "all of the same duration"),
        (deepmimic([frame(), frame()], "often"), "found 'Loop' 'often'; expected one of wrap, none"),
        ('{"Frames": ' + "[" * 100_000, "found no JSON"),
    ],
)
def test_damaged_deepmimic_files_are_refused_in_words(tmp_path, text, said):
    with pytest.raises(MocapError) as error:
        clip_of(tmp_path, text, "walk.txt")
    assert said in str(error.value)


def amass(**changes) -> bytes:
    poses = np.zeros((3, 156))
    # Upright in a world with z up: the body's y (up) becomes z by 90 degrees about x.
    poses[:, 0] = math.pi / 2
    arrays = {
        "poses": poses,
        "trans": np.array([[0, 0, 0.9]] * 3),
        "mocap_framerate": np.array(60.0),
        "gender": "x",
    }
    file = io.BytesIO()
    np.savez(file, **{name: value for name, value in (arrays | changes).items() if value is not None})
    return file.getvalue()


def test_amass_joints_turn_an_average_person(tmp_path):
    clip = clip_of(tmp_path, amass(), "walk.npz")
    assert clip.rate == 60 and clip.leg == pytest.approx(0.491 * HEIGHT)
    np.testing.assert_allclose(clip.at("left_ankle")[0], [0, 0.05 * HEIGHT, 0.9 - 0.531 * HEIGHT], atol=1e-9)
    np.testing.assert_allclose(clip.turned("head").magnitude(), 0, atol=1e-9)
    poses = np.zeros((3, 66))
    poses[:, 0] = math.pi / 2
    poses[:, 3 * 4] = math.pi / 2  # the left knee, about the axis to the left
    bent = clip_of(tmp_path, amass(poses=poses), "walk.npz")
    np.testing.assert_allclose(
        bent.at("left_ankle")[0], [-0.246 * HEIGHT, 0.05 * HEIGHT, 0.9 - 0.285 * HEIGHT], atol=1e-9
    )
    rate = clip_of(tmp_path, amass(mocap_framerate=None, mocap_frame_rate=np.array(120)), "walk.npz").rate
    assert rate == 120


def test_damaged_amass_files_are_refused_and_nothing_in_them_is_executed(tmp_path):
    hooked = []

    class Trap:
        def __reduce__(self):
            return hooked.append, (1,)

    for changes, said in (
        ({"poses": None}, "found no poses"),
        ({"poses": np.zeros((3, 60))}, r"poses of shape \(3, 60\)"),
        ({"trans": np.zeros((2, 3))}, "found 3 poses and 2 places"),
        ({"trans": np.full((3, 3), np.nan)}, "numbers in trans that are not finite"),
        ({"mocap_framerate": np.array(0.0)}, "frames at 0 Hz"),
        ({"mocap_framerate": np.array("fast")}, "rate of shape"),
        ({"poses": np.array([Trap()], dtype=object)}, "no archive of plain arrays"),
    ):
        with pytest.raises(MocapError, match=said):
            clip_of(tmp_path, amass(**changes), "walk.npz")
    assert not hooked
    with pytest.raises(MocapError, match="no archive of plain arrays"):
        clip_of(tmp_path, amass()[:-200], "walk.npz")


def test_an_npz_file_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("poses.npy", bytes(10_000_000))
    monkeypatch.setattr("jack_trainer.imitation.mocap.amass.MAX_FILE_BYTES", 9_000_000)
    with pytest.raises(MocapError, match="at most 9,000,000 bytes unpacked"):
        clip_of(tmp_path, file.getvalue(), "walk.npz")
    # A header that promises more than there is takes neither memory nor time.
    whole = amass()
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        arrays = {entry: archive.read(entry) for entry in archive.namelist()}
    arrays["trans.npy"] = arrays["trans.npy"].replace(b"(3, 3), }" + b" " * 9, b"(3, 30000000000), }"[:18])
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in arrays.items():
            archive.writestr(name, data)
    with pytest.raises(MocapError):
        clip_of(tmp_path, file.getvalue(), "walk.npz")


@st.composite
def damaged(draw, whole: bytes) -> bytes:
    """A file with some bytes changed, some left out, some words put in."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data)))
        kind = draw(st.sampled_from(["flip", "cut", "put"]))
        if kind == "flip" and place < len(data):
            data[place] ^= draw(st.integers(1, 255))
        elif kind == "cut":
            del data[place : place + draw(st.integers(1, 200))]
        else:
            words = st.sampled_from(
                [b" nan ", b"\n}\n", b" 1e9 ", b"-", b"\n7\n", b"{", b"\xff\xfe", b":root ", b"0 "]
            )
            data[place:place] = draw(words)
    return bytes(data)


FILES = {
    "person.bvh": bvh(STILL).encode(),
    "07_01.amc": amc([REST, REST]).encode(),
    "07.asf": asf().encode(),
    "walk.json": deepmimic([frame(), frame()]).encode(),
    "walk.npz": amass(),
}


@pytest.mark.parametrize("name", FILES)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_whatever_is_in_a_file_it_is_a_clip_or_one_clear_error(tmp_path_factory, name, data):
    folder = tmp_path_factory.mktemp("damaged")
    for other, whole in FILES.items():
        (folder / other).write_bytes(whole)
    content = data.draw(st.one_of(damaged(FILES[name]), st.binary(max_size=300)))
    (folder / name).write_bytes(content)
    try:
        clip = read_clip(folder / ("07_01.amc" if name == "07.asf" else name))
    except MocapError as error:
        assert str(folder) in str(error) and len(str(error)) < 3000
    else:
        assert np.isfinite(clip.position).all() and np.isfinite(clip.orientation).all()
        assert 0.45 <= clip.leg <= 1.25 and clip.frames >= 2


def test_a_clip_is_paced_anew_without_lag(tmp_path):
    times = np.arange(121) / 120
    frames = [((0.0, 0.85 + 0.05 * math.sin(2 * math.pi * t), t), {}) for t in times]
    clip = clip_of(tmp_path, bvh(frames, time=1 / 120))
    paced = resampled(clip, 0.02)
    assert paced.frames == 51 and paced.rate == pytest.approx(50)
    now = np.arange(51) * 0.02
    inner = slice(5, -5)
    wanted = 0.85 + 0.05 * np.sin(2 * math.pi * now)
    np.testing.assert_allclose(paced.at("pelvis")[inner, 2], wanted[inner], atol=5e-4)
    np.testing.assert_allclose(paced.at("pelvis")[inner, 0], now[inner], atol=2e-3)
    twice = resampled(clip, 0.02, speed=2.0)
    assert twice.frames == 26
    np.testing.assert_allclose(twice.at("pelvis")[10, 0], 0.4, atol=2e-3)
    with pytest.raises(MocapError, match=r"lasts 0\.05 s; a motion must last 0\.08 to 1800 s"):
        resampled(clip, 0.02, speed=20.0)


def test_smoothing_takes_noise_away_and_survives_quaternions_that_change_their_sign(tmp_path):
    rng = np.random.default_rng(0)
    frames = [((0.0, 0.85 + rng.normal(0, 0.01), 0.0), {"Hips": (0, 350 + 0.2 * i, 0)}) for i in range(200)]
    clip = clip_of(tmp_path, bvh(frames, time=1 / 120))
    assert resampled(clip, 0.02).at("pelvis")[:, 2].std() < 0.5 * clip.at("pelvis")[:, 2].std()
    signs = np.where(np.arange(200) % 3 == 0, -1.0, 1.0)  # q and -q are the same rotation
    clip = replace(clip, orientation=clip.orientation * signs[:, None, None])
    heading = resampled(clip, 0.02).turned("pelvis").as_euler("ZYX")[:, 0]
    np.testing.assert_allclose(np.diff(heading)[5:-5], math.radians(0.2 * 120 * 0.02), atol=1e-3)


def test_a_loop_goes_on_where_and_whereto_it_ended(tmp_path):
    # Half a metre ahead, and a quarter of a turn to the left, in each round.
    half = math.sqrt(0.5)
    clip = clip_of(
        tmp_path, deepmimic([frame(), frame(0.25), frame(0.5, root=(half, 0, half, 0))], "wrap"), "walk.txt"
    )
    rolled = unrolled(clip, 3)
    assert rolled.frames == 7
    np.testing.assert_allclose(
        rolled.at("pelvis")[:, :2],
        [[0, 0], [0.25, 0], [0.5, 0], [0.5, 0.25], [0.5, 0.5], [0.25, 0.5], [0, 0.5]],
        atol=1e-9,
    )
    np.testing.assert_allclose(rolled.at("pelvis")[:, 2], 0.9)
    np.testing.assert_allclose(rolled.at("left_hip")[4] - rolled.at("pelvis")[4], [0, -0.084887, 0], atol=1e-9)
