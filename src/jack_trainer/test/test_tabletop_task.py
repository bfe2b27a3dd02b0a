import mujoco
import numpy as np
import pytest

from jack_contract.contract import default_contract
from jack_contract.errors import UnknownNameError
from jack_sim.layout import SHAPES, SLOTS, Layout, Thing
from jack_sim.scene import SceneOptions
from jack_sim.tabletop import TABLETOP
from jack_trainer.tasks.instructions import Goal, Skill
from jack_trainer.tasks.tabletop import (
    MEDDLING,
    POINT_ANGLE,
    PUSH_DISTANCE,
    TOUCH_DISTANCE,
    Scene,
    Situation,
    Tabletop,
    distance,
)

CONTRACT = default_contract()
BARE = SceneOptions(TABLETOP, visuals=False)
LAYOUT = Layout((Thing("red", "cube", (0.25, 0.1), 0.025), Thing("blue", "ball", (0.25, -0.1), 0.025)))
CENTRE = LAYOUT.height + 0.025
RED = {"colour": "red", "shape": "cube"}


@pytest.fixture(scope="module")
def task():
    return Tabletop(2, CONTRACT, scene=BARE)


def told(task, goal, start=(0.0, 0.0, 0.0), layout=LAYOUT):
    """Both robots are told the same; only the first is looked at."""
    task.begin(np.arange(2), [Situation(layout, goal, "", start)] * 2)
    return task.scene()


def judged(task, scene, times=1, **changes):
    """What is thought of a scene in which some things are otherwise, seen so many times."""
    for _ in range(times):
        task.judge(Scene(**(vars(scene) | changes)))
    return bool(task.succeeded[0])


# -- distances


@pytest.mark.parametrize(
    ("shape", "point", "expected"),
    [
        ("ball", (0.0, 0.0, 0.05), 0.02),
        ("ball", (0.03, 0.04, 0.0), 0.02),
        ("ball", (0.0, 0.0, 0.0), -0.03),
        ("cube", (0.05, 0.0, 0.0), 0.02),
        ("cube", (0.06, 0.07, 0.0), 0.05),  # 3, 4, 5 beyond an edge
        ("cube", (0.01, 0.0, -0.02), -0.01),
        ("cylinder", (0.03, 0.04, 0.0), 0.02),
        ("cylinder", (0.0, 0.0, 0.05), 0.02),
        ("cylinder", (0.06, 0.0, 0.07), 0.05),
        ("cylinder", (0.0, 0.02, 0.0), -0.01),
    ],
)
def test_distances_to_surfaces_by_hand(shape, point, expected):
    found = distance(np.array(SHAPES[shape]), np.array(0.03), np.array(point))
    assert found == pytest.approx(expected, abs=1e-12)


def test_gaps_are_what_mujoco_measures_between_forearm_and_thing(task):
    """MuJoCo's distance of two geoms, where the round end of the capsule is what is nearest."""
    places = ((0.28, 0.19), (0.28, -0.19), (0.28, 0.0))
    layout = Layout(tuple(Thing("red", s, p, 0.027, 0.4) for s, p in zip(SHAPES, places, strict=True)))
    told(task, Goal(Skill.WAVE), layout=layout)
    qpos, robot = task.world.batch.bind("qpos").copy(), CONTRACT.robot
    for side in ("left", "right"):
        qpos[:, 7 + robot.index(f"{side}_shoulder_pitch")] = -0.7
        qpos[:, 7 + robot.index(f"{side}_elbow")] = -0.3
    task.world.reset(np.arange(2), qpos)
    scene, model, data = task.scene(), task.world.batch.get_model(0), mujoco.MjData(task.world.batch.model)
    data.qpos[:] = qpos[0]
    mujoco.mj_forward(model, data)
    for side, body in enumerate(task.arms.forearms):
        capsule = next(g for g in range(model.ngeom) if model.geom_bodyid[g] == body and model.geom_contype[g])
        for slot in (side, 2):
            measured = mujoco.mj_geomDistance(model, data, capsule, model.geom(f"thing_{slot + 1}").id, 1.0, None)
            assert scene.gaps[0, side, slot] >= measured - 2e-4  # the forearm's side may be nearer
            if slot == side:
                assert scene.gaps[0, side, slot] == pytest.approx(measured, abs=2e-4)
    assert np.isinf(scene.gaps[0, :, 3:]).all()


# -- what counts


def test_touching_is_being_near_for_a_while_and_nearer_than_to_others(task):
    scene = told(task, Goal(Skill.TOUCH, **RED))
    near, far = np.full((2, 2, SLOTS), np.inf), np.full((2, 2, SLOTS), np.inf)
    near[:, 1, 0], near[:, 1, 1] = TOUCH_DISTANCE - 0.001, 0.03
    far[:, 1, 0] = TOUCH_DISTANCE + 0.001
    assert not judged(task, scene, 50, gaps=far)
    assert not judged(task, scene, 9, gaps=near)  # 0.2 s are ten periods
    assert not judged(task, scene, 1, gaps=far)  # and they must be in a row
    assert not judged(task, scene, 9, gaps=near)
    assert judged(task, scene, 1, gaps=near)
    told(task, Goal(Skill.TOUCH, **RED))
    other = near.copy()
    other[:, 0, 1] = 0.0
    assert not judged(task, scene, 50, gaps=other)
    told(task, Goal(Skill.TOUCH, "blue", "ball"))
    assert not judged(task, scene, 50, gaps=near)


@pytest.mark.parametrize(("angle", "counts"), [(POINT_ANGLE - 0.01, True), (POINT_ANGLE + 0.01, False)])
def test_pointing_is_a_matter_of_the_forearms_direction(task, angle, counts):
    scene = told(task, Goal(Skill.POINT, **RED))
    elbows, directions = scene.elbows.copy(), -np.ones((2, 2, 3)) / np.sqrt(3)
    elbows[:, 0] = [0.0, 0.1, CENTRE]  # the thing is straight ahead of it
    directions[:, 0] = [np.cos(angle), np.sin(angle), 0.0]
    gaps = np.full((2, 2, SLOTS), 0.1)
    assert judged(task, scene, 20, elbows=elbows, directions=directions, gaps=gaps) is counts
    told(task, Goal(Skill.POINT, **RED))  # a hand that lies on it does not point
    assert not judged(task, scene, 20, elbows=elbows, directions=directions, gaps=0.0 * gaps)


@pytest.mark.parametrize(("skill", "way"), [(Skill.PUSH_LEFT, 1.0), (Skill.PUSH_RIGHT, -1.0)])
def test_pushing_is_moving_it_to_that_side_and_nothing_else(task, skill, way):
    scene = told(task, Goal(skill, **RED))

    def moved(first, second=0.0, down=0.0):
        things = scene.things.copy()
        things[:, 0, 1] += first
        things[:, 1, 0] += second
        things[:, 0, 2] -= down
        return things

    assert not judged(task, scene, things=moved(-way * (PUSH_DISTANCE + 0.01)))
    assert not judged(task, scene, things=moved(way * (PUSH_DISTANCE - 0.001)))
    assert not judged(task, scene, things=moved(way * (PUSH_DISTANCE + 0.001), down=0.5))
    assert judged(task, scene, things=moved(way * (PUSH_DISTANCE + 0.001)))
    told(task, Goal(skill, **RED))
    assert not judged(task, scene, things=moved(way * (PUSH_DISTANCE + 0.001), MEDDLING + 0.001))
    assert task.meddled[0]
    assert not judged(task, scene, things=moved(way * (PUSH_DISTANCE + 0.001)))  # it stays a mistake


def test_waving_is_turning_three_times_above_the_shoulder(task):
    scene = told(task, Goal(Skill.WAVE))

    def hand(aside, height=1.1):
        hands = scene.hands.copy()
        hands[:, 1] = [0.1, aside, height]
        return hands

    def way(*places):
        return [judged(task, scene, hands=hand(place)) for place in places]

    assert way(-0.3, -0.2, -0.25, -0.3, -0.2, -0.3) == [False] * 4 + [False, True]
    told(task, Goal(Skill.WAVE))
    assert not any(way(*np.linspace(-0.3, 0.3, 50)))  # one way
    assert not any(way(*(0.3 - 0.02 * (-1.0) ** np.arange(50))))  # trembling
    told(task, Goal(Skill.WAVE))
    assert not any(judged(task, scene, hands=hand(0.1 * (-1) ** k, height=0.7)) for k in range(20))


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({}, True),
        ({"pelvis": np.array([[-0.1, 0.0, 0.65]] * 2)}, False),
        ({"pelvis": np.array([[0.0, 0.25, 0.65]] * 2)}, False),
        ({"heading": np.array([0.4, 0.4])}, False),
        ({"speed": np.array([0.2, 0.2])}, False),
    ],
)
def test_walking_to_the_table_ends_in_standing_before_it(task, change, counts):
    scene = told(task, Goal(Skill.WALK))
    assert not judged(task, scene, 24, **change)
    assert judged(task, scene, 1, **change) is counts


def test_who_falls_has_done_nothing(task):
    scene = told(task, Goal(Skill.WALK))
    assert not judged(task, scene, 30, fallen=np.array([True, True]))
    assert task.fallen[0] and task.over[0]


# -- worlds


def test_situations_are_put_into_worlds_and_begin_anew(task):
    first = Situation(LAYOUT, Goal(Skill.TOUCH, **RED), "touch the red cube", (-0.5, 0.1, 0.2))
    second = Situation(Layout((Thing("green", "cylinder", (0.22, 0.0)),), 0.785), Goal(Skill.WAVE), "wave")
    task.begin(np.arange(2), [first, second])
    scene = task.scene()
    np.testing.assert_allclose(scene.pelvis[0, :2], [-0.5, 0.1])
    np.testing.assert_allclose(scene.heading, [0.2, 0.0], atol=1e-12)
    np.testing.assert_allclose(scene.things[0, :2], [[0.25, 0.1, CENTRE], [0.25, -0.1, CENTRE]])
    np.testing.assert_allclose(scene.things[1, 0], [0.22, 0.0, 0.785 + 0.028])
    assert task.skill == [Skill.TOUCH, Skill.WAVE] and task.slot.tolist() == [0, -1]
    home = np.tile(CONTRACT.robot.default_position, (2, 1))
    for _ in range(5):
        task.step(home)
    task.begin(np.array([1]), [first])
    assert task.age.tolist() == [5, 0] and task.situations == [first, first]


def test_patience_ends(task):
    told(task, Goal(Skill.TOUCH, **RED))
    task.age[:] = 299
    assert not task.over.any()
    task.age[:] = 300
    assert task.over.all() and not task.succeeded.any()


def test_a_counterfactual_is_the_same_scene_with_other_words():
    scene = Situation(LAYOUT, Goal(Skill.TOUCH, **RED), "touch the red cube", (0.01, 0.0, 0.0))
    other = scene.told(Goal(Skill.POINT, "blue", "ball"), "point at the blue ball")
    assert (other.layout, other.start) == (scene.layout, scene.start)
    assert (scene.slot, other.slot) == (0, 1) and other.sentence == "point at the blue ball"


def test_a_thing_that_is_not_there_is_named():
    with pytest.raises(UnknownNameError, match=r"no thing on the table 'green ball'.*Valid: red cube, blue ball"):
        _ = Situation(LAYOUT, Goal(Skill.TOUCH, "green", "ball"), "").slot
