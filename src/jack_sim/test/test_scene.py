import mujoco
import numpy as np
import pytest

from jack_contract.errors import JackError, UnknownNameError
from jack_sim.scene import (
    BODY_GROUP,
    LEG_GROUP,
    LIVE,
    SOLE_GROUP,
    TRAINING,
    VISUAL_GROUP,
    SceneOptions,
    load_model,
    scene_names,
)

LEG = ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")
ARM = ("shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow")
JOINTS = (
    *(f"left_{part}" for part in LEG),
    *(f"right_{part}" for part in LEG),
    "waist_yaw",
    *(f"left_{part}" for part in ARM),
    *(f"right_{part}" for part in ARM),
)


def _geoms(model, group):
    return [i for i in range(model.ngeom) if model.geom_group[i] == group]


def _rest(options, seconds):
    model = load_model(options)
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
    mujoco.mj_step(model, data, nstep=round(seconds / model.opt.timestep))
    return model, data


def test_jack_has_21_joints_in_the_agreed_order():
    model = load_model(TRAINING)
    assert tuple(model.joint(i).name for i in range(1, model.njnt)) == JOINTS
    assert tuple(model.actuator(i).name for i in range(model.nu)) == JOINTS


def test_jack_weighs_35_kg_and_is_1_3_m_tall():
    model = load_model(LIVE)
    data = mujoco.MjData(model)
    data.qpos[2] = 1.0
    mujoco.mj_forward(model, data)
    shell = _geoms(model, VISUAL_GROUP)
    # Head and soles are upright when the joints are at zero: the boxes around their geoms are the extent.
    half = [np.abs(data.geom_xmat[i].reshape(3, 3)) @ model.geom_aabb[i, 3:] for i in shell]
    top = max(data.geom_xpos[i, 2] + h[2] for i, h in zip(shell, half, strict=True))
    bottom = min(data.geom_xpos[i, 2] + -h[2] for i, h in zip(shell, half, strict=True))
    assert model.body_mass.sum() == pytest.approx(35.0, abs=1.0)
    assert top - bottom == pytest.approx(1.3, abs=0.03)


def test_the_two_sides_are_mirror_images():
    model = load_model(TRAINING)
    for body in range(model.nbody):
        name = model.body(body).name
        if name.startswith("left_"):
            other = model.body(name.replace("left", "right")).id
            np.testing.assert_array_equal(model.body_pos[body] * [1, -1, 1], model.body_pos[other])
            np.testing.assert_array_equal(model.body_ipos[body] * [1, -1, 1], model.body_ipos[other])
            np.testing.assert_array_equal(model.body_inertia[body], model.body_inertia[other])
            assert model.body_mass[body] == model.body_mass[other]


def test_only_soles_and_legs_touch_in_training():
    model = load_model(TRAINING)
    touching = [i for i in range(model.ngeom) if model.geom_contype[i] or model.geom_conaffinity[i]]
    assert {model.geom_group[i] for i in touching} == {0, SOLE_GROUP, LEG_GROUP}
    assert len(_geoms(model, SOLE_GROUP)) == 8 and len(_geoms(model, LEG_GROUP)) == 6
    assert not _geoms(model, VISUAL_GROUP) and not _geoms(model, BODY_GROUP)
    assert model.nmesh == model.ntex == model.nmat == 0


def test_everything_touches_in_the_live_world():
    model = load_model(LIVE)
    touching = {model.body(model.geom_bodyid[i]).name for i in _geoms(model, BODY_GROUP) + _geoms(model, LEG_GROUP)}
    parts = ("thigh", "shin", "foot", "upper_arm", "forearm")
    limbs = {f"{side}_{part}_link" for side in ("left", "right") for part in parts}
    assert limbs | {"torso", "head", "pelvis"} <= touching


@pytest.mark.parametrize("options", [TRAINING, LIVE], ids=["training", "live"])
def test_he_stands_at_rest_in_his_home_pose(options):
    model, data = _rest(options, 10.0)
    home = model.key("home").qpos
    assert data.qpos[2] == pytest.approx(home[2], abs=0.01)
    assert np.abs(data.qpos[3:7] - home[3:7]).max() < 0.02
    assert np.abs(data.qpos[7:] - home[7:]).max() < 0.06
    assert np.abs(data.qvel).max() < 1e-3
    assert data.ncon == 8


def test_collision_set_visuals_and_gantry_change_no_dynamics_of_standing():
    _, training = _rest(TRAINING, 1.0)
    _, live = _rest(LIVE, 1.0)
    np.testing.assert_array_equal(training.qpos, live.qpos)


def test_no_link_overlaps_another_in_the_home_pose():
    model = load_model(LIVE)
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    mujoco.mj_forward(model, data)
    floor = model.geom("floor").id
    assert all(floor in contact.geom for contact in data.contact)


def test_legs_cannot_pass_through_each_other():
    model = load_model(LIVE)
    data = mujoco.MjData(model)
    data.qpos[2] = 1.0
    for side, sign in (("left", -1), ("right", 1)):
        data.joint(f"{side}_hip_roll").qpos = 0.3 * sign
    mujoco.mj_forward(model, data)
    pairs = {frozenset(model.body(model.geom_bodyid[g]).name for g in contact.geom) for contact in data.contact}
    assert frozenset(("left_shin_link", "right_shin_link")) in pairs


def test_options_reach_the_model():
    model = load_model(SceneOptions(timestep=0.002, iterations=5, ls_iterations=6))
    assert (model.opt.timestep, model.opt.iterations, model.opt.ls_iterations) == (0.002, 5, 6)
    assert model.opt.integrator == mujoco.mjtIntegrator.mjINT_IMPLICITFAST


def test_an_unknown_scene_lists_the_valid_ones():
    assert "flat" in scene_names()
    with pytest.raises(UnknownNameError, match=r"no scene 'flatt'.*Did you mean 'flat'.*Valid:.*flat"):
        SceneOptions(scene="flatt")


@pytest.mark.parametrize("wrong", [{"collision": "hands"}, {"timestep": 0.0}, {"iterations": 0}])
def test_impossible_options_are_refused(wrong):
    with pytest.raises(JackError):
        SceneOptions(**wrong)
