import json
import math
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest
from mink.limits import Constraint
from rich.console import Console
from safetensors.numpy import load_file, save_file
from scipy.spatial.transform import Rotation

from jack_contract.errors import JackError
from jack_contract.robot import RobotSpec, load_robot
from jack_trainer import cli
from jack_trainer.imitation.mocap import command, footsteps, preview, solver
from jack_trainer.imitation.mocap.body import Body, load_body, sole_ids
from jack_trainer.imitation.mocap.clip import BONES, JOINTS, Clip
from jack_trainer.imitation.mocap.contacts import Contacts, find_contacts
from jack_trainer.imitation.mocap.figures import touches_himself
from jack_trainer.imitation.mocap.footsteps import plan_footsteps
from jack_trainer.imitation.mocap.limits import JointLimit
from jack_trainer.imitation.mocap.motion import MotionInfo, load_motion, save_motion
from jack_trainer.imitation.mocap.reader import read_clip
from jack_trainer.imitation.mocap.retarget import Retargeted, retarget
from jack_trainer.imitation.mocap.source import MocapError

#: The walk of the tests: seconds between frames, of a cycle, share of it that a foot stands, and metres a second.
STEP, CYCLE, STANCE, SPEED = 0.02, 1.2, 0.6, 0.8
#: DeepMimic's humanoid: thigh, shank, ankle above the ground; and how high its hips are carried [m].
THIGH, SHANK, ANKLE, HIPS = 0.421546, 0.40987, 0.05, 0.82


def foot(time: float, offset: float) -> tuple[float, float, bool]:
    """Place of an ankle along the way, its height above the ground [m], and whether the foot stands."""
    cycles, phase = divmod(time / CYCLE + offset, 1.0)
    print_of = SPEED * CYCLE * (cycles - offset + STANCE / 2)
    if phase < STANCE:
        return print_of, ANKLE, True
    share = (phase - STANCE) / (1 - STANCE)
    ahead = SPEED * CYCLE * share * share * (3 - 2 * share)
    return print_of + ahead, ANKLE + 0.1 * math.sin(math.pi * share) ** 2, False


def leg(x: float, height: float) -> tuple[float, float, float]:
    """Angles of hip, knee and ankle about z [rad] that put the ankle there, from the hip; the foot is level."""
    down = HIPS - height
    reach = math.hypot(x, down)
    knee = math.acos((THIGH**2 + SHANK**2 - reach**2) / (2 * THIGH * SHANK)) - math.pi
    hip = math.atan2(x, down) + math.acos((THIGH**2 + reach**2 - SHANK**2) / (2 * THIGH * reach))
    return hip, knee, -hip - knee


def about_z(angle: float) -> list[float]:
    return [math.cos(angle / 2), 0.0, 0.0, math.sin(angle / 2)]


def walk(seconds=3.6, loop="none", start=0.0) -> str:
    """A walk in the format of DeepMimic, legs and arms against each other."""
    frames = []
    for time in start + np.arange(round(seconds / STEP) + 1) * STEP:
        legs = []
        for offset in (0.5, 0.0):  # right, left
            x, height, _ = foot(time, offset)
            hip, knee, ankle = leg(x - SPEED * time, height)
            swing = -0.5 * math.cos(2 * math.pi * (time / CYCLE + offset))
            legs.append([*about_z(hip), knee, *about_z(ankle), *about_z(swing), 0.4])
        still = [1.0, 0.0, 0.0, 0.0]
        frames.append([STEP, SPEED * time, HIPS, 0.0, *still, *still, *still, *legs[0], *legs[1]])
    return json.dumps({"Loop": loop, "Frames": frames})


@pytest.fixture(scope="module")
def body() -> Body:
    return load_body()


@pytest.fixture(scope="module")
def robot() -> RobotSpec:
    return load_robot()


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Clip:
    path = tmp_path_factory.mktemp("walk") / "walk.txt"
    path.write_text(walk())
    return read_clip(path)


@pytest.fixture(scope="module")
def done(clip, body, robot) -> Retargeted:
    return retarget(clip, body, robot)


def soles(motion, body: Body) -> np.ndarray:
    """Lowest points of the spheres under both feet, (T, 2, 4, 3) [m]."""
    data, spheres = mujoco.MjData(body.model), sole_ids(body.model)
    places = []
    for base, turn, joints in zip(
        motion.base_position, motion.base_orientation, motion.joint_position, strict=True
    ):
        data.qpos[:] = [*base, turn[3], *turn[:3], *joints]
        mujoco.mj_kinematics(body.model, data)
        places.append(data.geom_xpos[spheres].reshape(2, 4, 3) - [0, 0, body.sole_radius])
    return np.array(places)


def test_the_bodies_measures_are_those_of_the_model(body):
    # From jack.xml: hips 0.062 + 0.038 out, 0.04 down; 0.05 + 0.24 + 0.29; 0.05 + 0.14, 0.18; 0.045 + 0.015.
    assert body.hip == pytest.approx((0.1, 0.04)) and body.leg == pytest.approx(0.58)
    assert body.arm == pytest.approx((0.19, 0.18)) and body.ankle_height == pytest.approx(0.06)
    np.testing.assert_allclose([body.heel, body.toe], [[-0.08, -0.045], [0.16, -0.045]])


def test_contacts_are_found_where_the_feet_stand(clip):
    contacts = find_contacts(clip)
    times = np.arange(clip.frames) * STEP
    truth = np.array([[foot(time, offset)[2] for offset in (0.0, 0.5)] for time in times])
    # A foot that has just been set down, or is about to leave, is slow and low too.
    assert (contacts.foot == truth).mean() > 0.9
    assert contacts.foot[truth].mean() > 0.99
    edges = np.abs(np.diff(contacts.foot.astype(int), axis=0)).sum(axis=0)
    np.testing.assert_array_equal(edges, np.abs(np.diff(truth.astype(int), axis=0)).sum(axis=0))
    np.testing.assert_allclose(contacts.ankle_height, ANKLE, atol=0.005)


def test_a_person_who_stands_is_on_both_feet_and_one_who_floats_by_on_none(clip):
    still = replace(clip, position=np.tile(clip.position[:1], (60, 1, 1)))
    still.position[:, JOINTS.index("right_ankle")] = still.at("left_ankle") * [1, -1, 1]
    still.position[:, JOINTS.index("right_toe")] = still.at("left_toe") * [1, -1, 1]
    assert find_contacts(still).foot.all()
    floating = replace(clip, position=clip.position[:1] + np.arange(60)[:, None, None] * [0.03, 0, 0])
    assert not find_contacts(floating).foot.any()
    noise = still.position.copy()
    noise[30:32, JOINTS.index("left_ankle"), 2] += 0.3
    noise[30:32, JOINTS.index("left_toe"), 2] += 0.3
    assert find_contacts(replace(still, position=noise)).foot.all()


def test_jack_walks_like_the_person(done, clip, body):
    motion, figures = done.motion, done.figures
    scale = 0.58 / (THIGH + SHANK)
    assert motion.info.scale == pytest.approx(scale, rel=1e-6)
    assert (motion.periods, motion.info.control_period) == (181, 0.02) and motion.duration == pytest.approx(3.6)
    assert motion.base_position[-1, 0] == pytest.approx(scale * SPEED * 3.6, rel=0.02)
    np.testing.assert_allclose(motion.base_position[0, :2], 0)
    left = {
        part: motion.joint_position[:, motion.info.joints.index(f"left_{part}")]
        for part in ("hip_pitch", "knee", "shoulder_pitch", "elbow")
    }
    # Knees bend backwards and never lock, elbows forwards, arms swing against the legs.
    assert left["knee"].min() > 0.1 and left["knee"].max() > 0.7 and left["elbow"].max() < -0.2
    assert np.corrcoef(left["hip_pitch"], left["shoulder_pitch"])[0, 1] < -0.5
    # The person's thigh goes as far as Jack's.
    thigh = clip.at("left_knee") - clip.at("left_hip")
    swing = np.ptp(np.arctan2(thigh[:, 0], -thigh[:, 2]))
    assert np.ptp(left["hip_pitch"]) == pytest.approx(swing, rel=0.15)
    assert figures.hands < 0.01 and figures.feet < 0.02 and figures.speed < 0.8


def test_a_standing_foot_stands_still_on_the_ground_and_none_is_in_it(done, body):
    places, stands = soles(done.motion, body), done.motion.contact
    assert places[..., 2].min() > -1e-4
    for side in range(2):
        both = stands[1:, side] & stands[:-1, side]
        step = np.linalg.norm(np.diff(places[:, side, :, :2], axis=0), axis=-1).min(axis=1)
        assert step[both].max() < 5e-4 and both.sum() > 60
        # It is on the ground all the time, and off it in between.
        assert places[stands[:, side], side, :, 2].min(axis=1).max() < 1e-3
        assert places[~stands[:, side], side, :, 2].min(axis=1).max() > 0.01
    assert done.figures.skate < 2e-3 and done.figures.penetration < 1e-4 and done.figures.penetrating == 0


def test_crossed_legs_are_told(body, done):
    data = mujoco.MjData(body.model)
    data.qpos[:] = body.model.key("home").qpos
    mujoco.mj_kinematics(body.model, data)
    assert not touches_himself(body.model, data) and done.figures.touching == 0
    for side, angle in (("left", -0.4), ("right", 0.4)):
        data.joint(f"{side}_hip_roll").qpos[:] = angle
    mujoco.mj_kinematics(body.model, data)
    assert touches_himself(body.model, data)


def test_limits_are_kept_even_where_the_person_is_beyond_them(clip, body, robot):
    joints = [
        replace(joint, upper=0.75) if joint.name.endswith("knee") else replace(joint, velocity_limit=3.0)
        for joint in robot.joints
    ]
    slow = replace(robot, joints=tuple(joints))
    motion = retarget(clip, body, slow, speed=1.5).motion
    knees = [index for index, name in enumerate(robot.joint_names) if name.endswith("knee")]
    assert motion.joint_position[:, knees].max() == pytest.approx(0.75, abs=1e-5)
    assert (motion.joint_position >= slow.lower - 1e-6).all() and (motion.joint_position <= slow.upper + 1e-6).all()
    steps = np.abs(np.diff(motion.joint_position, axis=0)) / 0.02
    assert (steps <= slow.velocity_limit + 1e-4).all() and (steps.max(axis=0) > 2.99).any()
    assert (np.abs(motion.joint_velocity) <= slow.velocity_limit + 1e-4).all()


def test_without_its_limits_the_solver_would_break_them(clip, body, robot, monkeypatch):
    """The two tests above can fail: it is the limits that keep what they ask for."""
    monkeypatch.setattr(JointLimit, "compute_qp_inequalities", lambda self, configuration, dt: Constraint())
    knee = robot.index("left_knee")
    joints = list(robot.joints)
    joints[knee] = replace(joints[knee], upper=0.75)
    motion = retarget(clip, body, replace(robot, joints=tuple(joints))).motion
    assert motion.joint_position[:, knee].max() > 0.9


def test_soles_stay_above_the_ground_where_targets_are_in_it(clip, body, robot, monkeypatch):
    plan = footsteps.plan_footsteps

    def sunk(*given):
        steps = plan(*given)
        return replace(steps, position=steps.position - [0, 0, 0.05])

    monkeypatch.setattr("jack_trainer.imitation.mocap.retarget.plan_footsteps", sunk)
    assert soles(retarget(clip, body, robot).motion, body)[..., 2].min() > -2e-3
    monkeypatch.setattr(solver, "GroundLimit", lambda model, spheres: solver.JointLimit(robot, solver.FREE))
    assert soles(retarget(clip, body, robot).motion, body)[..., 2].min() < -0.03


def standing_still(clip: Clip, frames: int) -> Clip:
    """The first frame of a clip all the time, with straight legs side by side."""
    position = np.tile(clip.rest + np.array([0, 0, THIGH + SHANK + ANKLE]), (frames, 1, 1))
    orientation = np.tile([0.0, 0.0, 0.0, 1.0], (frames, len(JOINTS), 1))
    return replace(clip, position=position, orientation=orientation)


def test_a_person_with_straight_knees_leaves_jack_some_to_spare(clip, body, robot):
    motion = retarget(standing_still(clip, 20), body, robot).motion
    knees = motion.joint_position[:, [robot.index("left_knee"), robot.index("right_knee")]]
    # Hips at 0.975 of a straight leg: 2 acos(0.975) = 0.45 rad.
    np.testing.assert_allclose(knees, 0.45, atol=0.05)
    # His feet are as far apart as his hips, not as the person's.
    places = soles(motion, body)[0].mean(axis=1)
    assert places[0, 1] - places[1, 1] == pytest.approx(0.2, abs=0.005)


@pytest.mark.parametrize(("pitch", "end", "tipped"), [(0.4, "toe", 0.1335), (-0.3, "heel", 0.0)])
def test_a_foot_tips_over_the_end_of_the_sole_that_stays_on_the_ground(clip, body, pitch, end, tipped):
    still = standing_still(clip, 40)
    joint = JOINTS.index("left_ankle")
    still.orientation[20:, joint] = Rotation.from_euler("y", pitch).as_quat()
    ball, heel = np.ones((40, 2), bool), np.ones((40, 2), bool)
    (heel if end == "toe" else ball)[20:, 0] = False
    scale = body.leg / still.leg
    steps = plan_footsteps(still, Contacts(heel, ball, np.array([ANKLE, ANKLE])), body, scale)
    turn = Rotation.from_quat(steps.orientation[:, 0])
    # Tips by 0.06 rad less; over the toes by so much less as they are further ahead than the person's.
    lever = scale * tipped / 0.16 if tipped else 1.0
    np.testing.assert_allclose(turn.as_euler("ZYX")[20:, 1], lever * (abs(pitch) - 0.06) * np.sign(pitch))
    ahead = {"toe": 0.16, "heel": -0.08}
    centre = steps.position[:, 0] + turn.apply([ahead[end], 0, -0.045])
    np.testing.assert_allclose(centre, np.tile(centre[:1], (40, 1)), atol=1e-9)
    other = steps.position[:, 0] + turn.apply([ahead["heel" if end == "toe" else "toe"], 0, -0.045])
    assert other[-1, 2] > centre[-1, 2] + 0.02
    assert centre[-1, 2] == pytest.approx(0.015)


def test_a_swing_leaves_one_footprint_and_meets_the_next(clip, body):
    """Feet of recorded people wander a little while they stand; what that adds must not become a jump."""
    wandering = replace(clip, position=clip.position.copy())
    times = np.arange(clip.frames) * STEP
    wandering.position[:, JOINTS.index("left_ankle"), 0] += 0.06 * np.sin(2 * math.pi * times / 0.9)
    contacts, scale = find_contacts(clip), body.leg / clip.leg
    planned = plan_footsteps(wandering, contacts, body, scale)
    stands, step = contacts.foot[:, 0], np.linalg.norm(np.diff(planned.position[:, 0], axis=0), axis=1)
    assert step[stands[1:] & stands[:-1]].max() < 1e-9
    added = np.linalg.norm(planned.position[:, 0] - planned.person[:, 0], axis=1)
    assert step[stands[1:] != stands[:-1]].max() < 0.012 and added[stands].max() > 0.03


def test_a_shuffling_person_makes_jack_lift_his_feet(clip, body):
    shuffling = replace(clip, position=clip.position.copy())
    for part, height in (("ankle", ANKLE), ("toe", 0.0)):
        for side in ("left", "right"):
            shuffling.position[:, JOINTS.index(f"{side}_{part}"), 2] = height
    contacts = find_contacts(clip)
    planned = plan_footsteps(shuffling, contacts, body, body.leg / clip.leg)
    for side in range(2):
        swings = np.split(planned.position[:, side, 2], np.flatnonzero(np.diff(contacts.foot[:, side])) + 1)
        whole = [swing for swing in swings[1:-1] if swing.max() > 0.0601]
        assert len(whole) >= 2 and min(swing.max() for swing in whole) > 0.06 + 0.01


def test_velocities_are_those_of_the_positions(clip, body, robot):
    # A walk along a bow, so that world and body differ: 0.5 rad a second to the left.
    turns = Rotation.from_rotvec(np.arange(clip.frames)[:, None] * STEP * 0.5 * [0, 0, 1])
    bow = replace(clip, position=clip.position.copy(), orientation=clip.orientation.copy())
    centre = np.array([0, SPEED / 0.5, 0])
    for joint in range(len(JOINTS)):
        local = clip.position[:, joint] - clip.at("pelvis") * [1, 0, 0] - centre
        bow.position[:, joint] = turns.apply(local) + centre
        bow.orientation[:, joint] = (turns * Rotation.from_quat(clip.orientation[:, joint])).as_quat()
    motion = retarget(bow, body, robot).motion
    turns = Rotation.from_quat(motion.base_orientation)
    assert turns[-1].as_euler("ZYX")[0] == pytest.approx(0.5 * 3.6, abs=0.1)
    inner = slice(1, -1)
    linear = (motion.base_position[2:] - motion.base_position[:-2]) / 0.04
    np.testing.assert_allclose(turns[1:-1].apply(motion.base_linear_velocity[inner]), linear, atol=1e-3)
    # He walks ahead, as he sees it.
    np.testing.assert_allclose(motion.base_linear_velocity[inner, 0].mean(), motion.info.scale * SPEED, rtol=0.05)
    assert abs(motion.base_linear_velocity[inner, 1].mean()) < 0.05
    angular = (turns[:-2].inv() * turns[2:]).as_rotvec() / 0.04
    np.testing.assert_allclose(motion.base_angular_velocity[inner], angular, atol=1e-2)
    joints = (motion.joint_position[2:] - motion.joint_position[:-2]) / 0.04
    np.testing.assert_allclose(motion.joint_velocity[inner], joints, atol=1e-3)


def test_a_person_who_sets_out_to_the_left_makes_jack_go_there(clip, body, robot):
    quarter = Rotation.from_euler("z", 90, degrees=True)
    turned = replace(
        clip,
        position=quarter.apply(clip.position.reshape(-1, 3)).reshape(clip.position.shape),
        orientation=(quarter * Rotation.from_quat(clip.orientation.reshape(-1, 4)))
        .as_quat()
        .reshape(clip.orientation.shape),
    )
    ahead, aside = retarget(clip, body, robot).motion, retarget(turned, body, robot).motion
    # A motion begins with a look along x, whatever the clip does; its body does not know the difference.
    np.testing.assert_allclose(aside.joint_position, ahead.joint_position, atol=0.02)
    np.testing.assert_allclose(aside.base_position, ahead.base_position, atol=0.01)


def test_a_faster_motion_is_shorter_and_a_strange_speed_refused(clip, body, robot):
    motion = retarget(clip, body, robot, speed=2.0).motion
    assert motion.duration == pytest.approx(1.8) and motion.info.speed == 2.0
    assert (np.abs(motion.joint_velocity) <= robot.velocity_limit).all()
    for speed in (0.0, -1.0, 5.0, math.nan):
        with pytest.raises(JackError, match=r"allowed: 0\.1 to 4"):
            retarget(clip, body, robot, speed=speed)


def test_a_loop_meets_itself(tmp_path, body, robot):
    path = tmp_path / "round.txt"
    path.write_text(walk(CYCLE, "wrap", start=0.3))
    motion = retarget(read_clip(path), body, robot).motion
    assert motion.info.loop and motion.periods == 61
    np.testing.assert_allclose(motion.joint_position[0], motion.joint_position[-1], atol=0.01)
    np.testing.assert_allclose(motion.joint_velocity[0], motion.joint_velocity[-1], atol=0.3)
    np.testing.assert_array_equal(motion.contact[0], motion.contact[-1])


def test_a_person_who_turns_on_the_ball_takes_jack_along(clip, body, robot):
    """A foot that turns by a quarter while it stands has two footprints, not one that Jack could not keep."""
    still = replace(
        clip,
        position=np.tile(clip.position[:1], (150, 1, 1)),
        orientation=np.tile(clip.orientation[:1], (150, 1, 1)),
    )
    angle = np.clip((np.arange(150) - 50) / 50, 0, 1) * math.pi / 2
    turns = Rotation.from_rotvec(angle[:, None] * [0, 0, 1])
    for joint in range(len(JOINTS)):
        still.position[:, joint] = turns.apply(still.position[:, joint])
        still.orientation[:, joint] = (turns * Rotation.from_quat(still.orientation[:, joint])).as_quat()
    motion = retarget(still, body, robot).motion
    end = Rotation.from_quat(motion.base_orientation[-1]).as_euler("ZYX")
    np.testing.assert_allclose(end, [math.pi / 2, 0, 0], atol=0.1)
    hips = [robot.index(f"{side}_hip_yaw") for side in ("left", "right")]
    assert np.abs(motion.joint_position[-1, hips]).max() < 0.2


def test_what_was_saved_is_loaded_again(done, robot, clip, tmp_path):
    path = tmp_path / "deep" / "walk.safetensors"
    save_motion(path, done.motion)
    motion = load_motion(path, robot)
    for name, array in done.motion.arrays().items():
        np.testing.assert_array_equal(motion.arrays()[name], array)
    assert motion.info.source == "walk.txt" and motion.info.source_sha256 == clip.sha256
    assert motion.info.joints == robot.joint_names and "not stated" in motion.info.terms
    assert motion.info.figures["skate"] == done.figures.skate
    assert [entry.name for entry in path.parent.iterdir()] == ["walk.safetensors"]


def test_a_motion_of_another_robot_is_refused_with_the_difference(done, robot, tmp_path):
    path = tmp_path / "walk.safetensors"
    save_motion(path, done.motion)
    swapped = replace(robot, joints=(robot.joints[1], robot.joints[0], *robot.joints[2:]))
    with pytest.raises(
        MocapError, match=r"joints left_hip_pitch, left_hip_roll.* where the robot has left_hip_roll"
    ):
        load_motion(path, swapped)
    with pytest.raises(MocapError, match=r"a period of 0\.02 s where the robot has 0\.01 s"):
        load_motion(path, replace(robot, control_period=0.01))
    narrow = replace(robot, joints=(replace(robot.joints[0], upper=0.0), *robot.joints[1:]))
    with pytest.raises(MocapError, match="beyond what the robot can do, at left_hip_pitch"):
        load_motion(path, narrow)


def test_every_damaged_motion_is_refused(done, robot, tmp_path):
    path = tmp_path / "walk.safetensors"
    save_motion(path, done.motion)
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    for place in random.integers(0, len(whole), 300):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(random.integers(8))
        path.write_bytes(damaged)
        try:
            loaded = load_motion(path, robot)
        except MocapError as error:
            assert str(path) in str(error)
        else:  # a letter of what is only told: the numbers are whole
            assert loaded.digest() == done.motion.digest()
    for length in random.integers(0, len(whole), 50):
        path.write_bytes(whole[:length])
        with pytest.raises(MocapError):
            load_motion(path, robot)


def test_arrays_that_are_no_motion_are_refused(done, robot, tmp_path):
    path = tmp_path / "walk.safetensors"

    def refused(said: str, **changes) -> None:
        info = done.motion.info.model_copy()
        arrays = {name: array for name, array in (done.motion.arrays() | changes).items() if array is not None}
        save_file(arrays, path, {"motion": info.model_dump_json()})
        with pytest.raises(MocapError, match=said):
            load_motion(path, robot)

    broken = done.motion.base_position.copy()
    broken[3, 1] = np.nan
    refused("base_position holds numbers that are not finite", base_position=broken)
    refused("has the arrays", contact=None)
    refused(r"contact has shape \(181, 3\)", contact=np.zeros((181, 3), bool))
    refused(r"joint_velocity has shape \(181, 21\) and type float64", joint_velocity=np.zeros((181, 21)))
    refused("SHA-256 of its numbers differs", base_position=done.motion.base_position + np.float32(0.1))
    save_file({"contact": np.zeros(2)}, path)
    with pytest.raises(MocapError, match="no motion of Jack, or damaged"):
        load_motion(path, robot)
    with pytest.raises(MocapError, match="No such file"):
        load_motion(tmp_path / "none.safetensors", robot)
    assert load_file(path)  # it is the header that is missing


def test_a_disk_that_takes_no_motion_is_named(done, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MocapError, match="choose --out"):
        save_motion(tmp_path / "file" / "walk.safetensors", done.motion)


def test_one_file_that_fails_does_not_stop_the_others(tmp_path, robot):
    names = ("walk.txt", "broken.txt", "again.txt")
    for name in names:
        (tmp_path / name).write_text(walk(1.0))
    (tmp_path / "broken.txt").write_text(walk(1.0).replace("0.82", "nought"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "walk.json").write_text(walk(1.0))
    files = [*(tmp_path / name for name in names), tmp_path / "other" / "walk.json"]
    console = Console(record=True, width=240, file=(tmp_path / "said").open("w"))
    order = command.Order(tmp_path / "out", terms="free [for] any use")
    assert command.retarget_files(files, order, console) == 2
    said = " ".join(console.export_text().split())
    assert "broken.txt: found no JSON" in said and "would overwrite the motion of another file" in said
    assert "again" in said and "Skate" in said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["again.safetensors", "walk.safetensors"]
    assert load_motion(tmp_path / "out" / "again.safetensors", robot).info.terms == "free [for] any use"


def test_the_command_line_says_what_a_file_is(tmp_path, done, capsys):
    (tmp_path / "walk.txt").write_text(walk(1.0))
    save_motion(tmp_path / "walk.safetensors", done.motion)
    assert cli.parse(["mocap", "info", str(tmp_path / "walk.txt")]).run() == 0
    said = capsys.readouterr().out
    assert "51 at 50 Hz, 1.00 s" in said and "0.831 m" in said and "0.80 m, 0.80 m/s" in said
    assert cli.parse(["mocap", "info", str(tmp_path / "walk.safetensors")]).run() == 0
    said = capsys.readouterr().out
    assert "181 of 0.02 s, 3.60 s" in said and "walk.txt (DeepMimic, 50 Hz)" in said


def test_the_command_line_reaches_the_retargeting(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        command, "retarget_files", lambda files, order: asked.append((files, order)) or len(asked) - 1
    )
    words = ["mocap", "retarget", "a.bvh", "b.amc", "--out", str(tmp_path), "--preview", "--speed", "1.2"]
    assert cli.parse([*words, "--skeleton", "b.asf"]).run() == 0
    assert cli.parse(["mocap", "retarget", "a.bvh"]).run() == cli.FAILED
    files, order = asked[0]
    assert files == (Path("a.bvh"), Path("b.amc"))
    assert order == command.Order(tmp_path, True, 1.2, Path("b.asf"), "")
    with pytest.raises(JackError, match=r"\./jack mocap retarget FILE"):
        cli.parse(["mocap", "retarget"]).run()


def test_a_film_shows_jack_and_the_person(tmp_path, clip, body, robot):
    short = replace(clip, position=clip.position[:30], orientation=clip.orientation[:30])
    retargeted = retarget(short, body, robot)
    alone = replace(retargeted, person=retargeted.person + np.array([0, 50, 0]))

    def colours(shown: Retargeted) -> tuple[int, int]:
        red, green, blue = np.moveaxis(next(preview.pictures(shown, 25)).astype(int), -1, 0)
        return ((red > 150) & (blue < 80)).sum(), ((blue > 100) & (red < 60) & (green < 150)).sum()

    # Jack's orange and the left bones', and the blue of the right ones.
    assert min(colours(retargeted)) > 300 and colours(alone)[0] > 100
    assert colours(alone)[1] < 0.3 * colours(retargeted)[1]
    preview.write_preview(tmp_path / "walk.webm", retargeted)
    assert (tmp_path / "walk.webm").read_bytes()[:4] == b"\x1aE\xdf\xa3"  # EBML: Matroska, WebM


def test_sticks_lie_along_the_bones(done):
    places = done.person[40]
    joints = preview._sticks(places).reshape(len(BONES), 7)
    for (start, end), stick in zip(BONES, joints, strict=True):
        a, b = places[JOINTS.index(start)], places[JOINTS.index(end)]
        along = Rotation.from_quat(np.roll(stick[3:], -1)).apply([0, 0, 1])
        np.testing.assert_allclose(along * np.linalg.norm(b - a), b - a, atol=1e-9)
        np.testing.assert_allclose(stick[:3] - [0, 0.9, 0], (a + b) / 2, atol=1e-9)


def test_what_a_motion_says_has_no_room_for_more():
    with pytest.raises(ValueError, match="extra"):
        MotionInfo.model_validate_json('{"executed": true}')
