import numpy as np
import pytest
import torch

from jack_brain.network.brain import Brain, Inputs
from jack_brain.network.export import PolicyExporter
from jack_brain.network.merge import merge
from jack_brain.policy import Policy
from jack_contract.contract import default_contract
from jack_contract.gait import REACH

CONTRACT = default_contract()
GAIT, TURNING = (CONTRACT.observation.slices()[name] for name in ("gait", "angular_velocity"))
PHASES = np.arange(40) / 40
FREELY = np.zeros(CONTRACT.robot.count)


def course(joint: int = 3) -> np.ndarray:
    """What is made of harmonics up to the fourth, (P, n)."""
    angle = 2 * np.pi * PHASES[:, None]
    found = np.zeros((len(PHASES), CONTRACT.robot.count))
    found[:, [joint]] = 0.5 - 0.8 * np.sin(angle) + 0.3 * np.cos(2 * angle) + 0.2 * np.sin(3 * angle + 1)
    found[:, [joint + 1]] = 0.1 * np.cos(4 * angle)
    return found


def taught(make_brain, share: float = 1.0) -> Brain:
    brain = make_brain(CONTRACT)
    brain.habit.learn(course(), 0.9, FREELY)
    brain.habit.share.fill_(share)
    return brain


def in_a_step(frames: torch.Tensor, phase: np.ndarray | None) -> torch.Tensor:
    """The same histories (B, H, D) at phases (B,) of the gait, of who does not tip over; None: at rest."""
    signal = np.zeros((len(frames), 2))
    if phase is not None:
        signal = np.stack((np.sin(2 * np.pi * phase), np.cos(2 * np.pi * phase)), axis=-1)
    frames = frames.clone()
    frames[..., GAIT] = torch.from_numpy(signal).float()[:, None]
    frames[..., TURNING] = 0.0
    return frames


def added(brain: Brain, make_inputs, phase: np.ndarray | None, command: list[float]) -> np.ndarray:
    """What a habit adds to what the brain says without it."""
    plain = make_brain_like(brain)
    frames = in_a_step(make_inputs(CONTRACT, len(PHASES)).proprioception, phase)
    given = Inputs(frames, torch.tensor(command).expand(len(frames), -1))
    with torch.no_grad():
        return (brain(given).mean - plain(given).mean).numpy()


def make_brain_like(brain: Brain) -> Brain:
    plain = Brain(CONTRACT)
    plain.load_state_dict({n: t for n, t in brain.state_dict().items() if not n.startswith("habit.")})
    return plain


def test_at_its_speed_the_course_is_added_and_less_the_further_the_pace_is_from_it(make_brain, make_inputs):
    brain = taught(make_brain)
    for command, share in (
        ([0.9, 0.0, 0.0], 1.0),
        ([0.9 - REACH, 0.0, 0.0], np.exp(-1)),
        ([0.9, 0.6 * REACH, -0.8 * REACH], np.exp(-1)),
        ([-0.3, 0.0, 0.0], np.exp(-((1.2 / REACH) ** 2))),
    ):
        np.testing.assert_allclose(added(brain, make_inputs, PHASES, command), share * course(), atol=2e-5)


def test_nothing_is_added_at_rest_nor_before_it_counts(make_brain, make_inputs):
    np.testing.assert_array_equal(added(taught(make_brain), make_inputs, None, [0.9, 0.0, 0.0]), 0.0)
    np.testing.assert_array_equal(added(taught(make_brain, 0.0), make_inputs, PHASES, [0.9, 0.0, 0.0]), 0.0)
    half = added(taught(make_brain, 0.5), make_inputs, PHASES, [0.9, 0.0, 0.0])
    np.testing.assert_allclose(half, 0.5 * course(), atol=2e-5)


def test_where_habit_rules_thinking_has_the_less_say_the_more_it_counts(make_brain, make_inputs):
    """Of the waist's action a quarter is left at the habit's speed, of an elbow's nothing, of a leg's all."""
    brain, plain, rules = make_brain(CONTRACT), make_brain(CONTRACT), FREELY.copy()
    rules[CONTRACT.robot.index("waist_yaw")], rules[CONTRACT.robot.index("left_elbow")] = 0.75, 1.0
    brain.habit.learn(course(), 0.9, rules)
    brain.habit.share.fill_(1.0)
    frames = in_a_step(make_inputs(CONTRACT, len(PHASES)).proprioception, PHASES)
    for speed, near in ((0.9, 1.0), (0.9 + REACH, np.exp(-1))):
        given = Inputs(frames, torch.tensor([speed, 0.0, 0.0]).expand(len(frames), -1))
        with torch.no_grad():
            said, done = plain(given).mean.numpy(), brain(given).mean.numpy()
        np.testing.assert_allclose(done, said * (1 - near * rules) + near * course(), atol=2e-5)
    rest = Inputs(in_a_step(frames, None), torch.tensor([0.9, 0.0, 0.0]).expand(len(frames), -1))
    with torch.no_grad():
        np.testing.assert_array_equal(brain(rest).mean, plain(rest).mean)


def test_it_lets_go_of_who_tips_over_as_the_rhythm_lets_him_hurry(make_brain, make_inputs):
    """In full up to twice what makes him stumble, not at all from three times that on, to whatever side."""
    brain, plain = make_brain(CONTRACT), make_brain(CONTRACT)
    brain.habit.learn(course(), 0.9, np.ones(CONTRACT.robot.count))
    brain.habit.share.fill_(1.0)
    rates, scale = np.array([0.0, 0.69, 0.875, 1.06, 5.0]), 0.25  # 0.35 rad/s makes him stumble
    frames = in_a_step(make_inputs(CONTRACT, len(rates)).proprioception, np.full(len(rates), 0.2))
    frames[:, -3:, TURNING.start] = torch.from_numpy(0.6 * scale * rates).float()[:, None]
    frames[:, -3:, TURNING.start + 1] = torch.from_numpy(-0.8 * scale * rates).float()[:, None]
    given = Inputs(frames, torch.tensor([0.9, 0.0, 0.0]).expand(len(frames), -1))
    with torch.no_grad():
        said, done = plain(given).mean.numpy(), brain(given).mean.numpy()
    calm = np.array([1.0, 1.0, 0.5, 0.0, 0.0])[:, None]
    np.testing.assert_allclose(done, said * (1 - calm) + calm * course()[8], atol=2e-5)
    hurry = CONTRACT.gait.hurry(CONTRACT.observation.tipping(frames.numpy()))
    np.testing.assert_allclose(hurry, 1 - calm[:, 0], atol=1e-6)


def test_a_brain_from_before_there_were_habits_has_none(make_brain):
    brain = taught(make_brain)
    brain.load_state_dict({n: t for n, t in make_brain(CONTRACT).state_dict().items() if "habit." not in n})
    assert not brain.habit.taught and not brain.habit.course.any() and float(brain.habit.share) == 0.0


def test_what_was_taught_is_kept_and_a_habit_that_nobody_had_is_not_missed(make_brain):
    other = Brain(CONTRACT)
    merge(other, taught(make_brain).state_dict())
    assert other.habit.taught and torch.equal(other.habit.course, taught(make_brain).habit.course)
    report = merge(Brain(CONTRACT), {n: t for n, t in other.state_dict().items() if not n.startswith("habit.")})
    assert not report.changes


def test_a_policy_file_has_it_and_one_without_is_no_slower_for_it(make_brain, make_inputs, tmp_path):
    plain, brain = make_brain(CONTRACT), taught(make_brain)
    sizes = []
    for one in (plain, brain):
        file = PolicyExporter(one, command=True).export({"phase": "natural", "step": 1})
        sizes.append(file.count(b"habit"))
    assert sizes[0] == 0 < sizes[1]
    policy = Policy.load(file, CONTRACT)
    frames = in_a_step(make_inputs(CONTRACT, len(PHASES)).proprioception, PHASES)
    command = torch.tensor([0.8, 0.1, 0.0])
    with torch.no_grad():
        said = brain(Inputs(frames, command.expand(len(frames), -1))).mean.numpy()
    for history, action in zip(frames.numpy(), said, strict=True):
        np.testing.assert_allclose(policy.act(history, command.numpy()), action, rtol=1e-5, atol=1e-5)


def test_left_and_right_stay_one(make_brain, make_inputs):
    """A course whose second half is the mirror image of the first."""
    robot = CONTRACT.robot
    mirrored = robot.mirror_sign * np.roll(course(), len(PHASES) // 2, axis=0)[:, list(robot.mirror_index)]
    brain = make_brain(CONTRACT)
    brain.habit.learn(course() + mirrored, 0.9, FREELY)
    brain.habit.share.fill_(1.0)
    symmetry = brain.symmetry
    frames = in_a_step(make_inputs(CONTRACT, len(PHASES)).proprioception, PHASES)
    given = Inputs(frames, torch.tensor([0.7, 0.1, 0.2]).expand(len(frames), -1))
    everyone = torch.ones(len(frames), dtype=torch.bool)
    with torch.no_grad():
        seen, reflected = brain(given).mean, brain(symmetry.inputs(given, everyone)).mean
    inside = np.abs(np.sin(2 * np.pi * PHASES)) > 1e-3  # as the feet change, neither is the one that swings
    np.testing.assert_allclose(symmetry.action(seen, everyone)[inside], reflected[inside], atol=2e-5)


@pytest.mark.parametrize("count", [8, 90])
def test_a_course_may_be_given_in_few_steps_or_many(make_brain, make_inputs, count):
    brain, angle = make_brain(CONTRACT), 2 * np.pi * np.arange(count) / count
    brain.habit.learn(np.tile(np.cos(angle)[:, None], CONTRACT.robot.count), 0.9, FREELY)
    brain.habit.share.fill_(1.0)
    found = added(brain, make_inputs, PHASES, [0.9, 0.0, 0.0])
    np.testing.assert_allclose(found, np.tile(np.cos(2 * np.pi * PHASES)[:, None], found.shape[-1]), atol=2e-5)
