import math
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from jack_brain.network.brain import Brain, Inputs
from jack_contract.errors import JackError
from jack_contract.gait import REACH, Beat, Rhythm
from jack_trainer.imitation.movement import Example, frame_size, frames
from jack_trainer.rl.amp import AMP, AmpConfig, Styled, habit_of
from jack_trainer.rl.anchor import Anchor
from jack_trainer.rl.discriminator import Judge, JudgeConfig
from jack_trainer.rl.ppo import PPOConfig
from jack_trainer.rl.rollout import Samples

sys.path.insert(0, str(Path(__file__).parent))
from walking_clip import PERIOD, ROBOT, ROWS, walking_clip

AHEAD = ((0.8, 0.8), (0.0, 0.0), (0.0, 0.0))
SMALL = JudgeConfig(hidden=(8,), batch=16, memory=64, kept=16, minibatches=2)


class Fond:
    """A judge who likes everything by a half."""

    def like(self, movements: np.ndarray) -> np.ndarray:
        self.seen = movements.copy()
        return np.full(len(movements), 0.5, np.float32)


@pytest.fixture(scope="module")
def example() -> Example:
    nothing = np.zeros((4, 2 * frame_size(ROBOT)), np.float32)
    return Example(nothing, speed=0.8, period=1.04, cycle=np.zeros((90, ROBOT.count), np.float32))


def look(styled: Styled, seen) -> np.ndarray:
    """The frames of what is seen now."""
    gait = styled.locomotion.contract.observation.slices()["gait"]
    return frames(styled.locomotion.world, seen.proprioception[:, -1, gait])


def still(count: int) -> np.ndarray:
    return np.zeros((count, ROBOT.count), np.float32)


def test_style_counts_for_walking_as_fast_as_the_clip_and_less_the_further_from_it(make_locomotion, example):
    styled = Styled(make_locomotion(2), [example], Fond(), AmpConfig())
    away = np.array([[0, 0, 0], [-1, 0, 0], [1, 0, 0], [0, 0.6, 0.8], [-2, 0, 0], [-4, 0, 0]])
    expected = [1.0, math.exp(-1), math.exp(-1), math.exp(-1), math.exp(-4), math.exp(-16)]
    np.testing.assert_allclose(styled.nearness([0.8, 0.0, 0.0] + REACH * away), expected, rtol=1e-5)


def test_of_two_examples_the_nearer_one_counts(make_locomotion, example):
    styled = Styled(make_locomotion(2), [example, replace(example, speed=0.4)], Fond(), AmpConfig())
    np.testing.assert_allclose(styled.nearness(np.array([[0.4, 0, 0], [0.8, 0, 0]])), 1.0, rtol=1e-6)


def test_style_is_paid_beside_the_task_for_what_was_just_done(make_locomotion, contract, example):
    """6 a second for style, by a half, in 0.02 s: 0.06 where it counts in full."""
    alarmed = {"command": AHEAD, "still": 0.0, "alarm": 20.0}  # for as long as an episode lasts
    plain, judge = make_locomotion(4, **alarmed), Fond()
    config = AmpConfig(weight=6.0, guide=0.0)
    styled = Styled(make_locomotion(4, **alarmed), [example], judge, config)
    plain.reset()
    seen = styled.reset()
    size, before, hurried = frame_size(ROBOT), look(styled, seen), False
    for _ in range(60):
        pace, tipping = seen.command.astype(float), contract.observation.tipping(seen.proprioception)
        calm = 1.0 - np.clip(tipping / 0.35 - 2.0, 0.0, 1.0)  # 1 up to 0.7 rad/s, 0 from 1.05 on
        one, other = plain.step(still(4)), styled.step(still(4))
        applies = calm * styled.nearness(pace) * ~(one.terminated | one.truncated)
        hurried |= (calm < 1.0).any()
        np.testing.assert_allclose(other.reward - one.reward, 0.06 * applies, atol=1e-6)
        np.testing.assert_array_equal(judge.seen[:, :size], before)
        seen = other.observation
        before = look(styled, seen)
        np.testing.assert_array_equal(judge.seen[:, size:], before)
        np.testing.assert_array_equal(other.episode_returns, one.episode_returns)
        assert other.terms["style"] == pytest.approx(3.0 * applies.mean(), abs=1e-6)
    assert styled.nearness(pace).max() > 0.5 and hurried  # by now he is asked for some way ahead


def test_who_tips_over_while_nobody_pushed_him_is_not_let_off(make_locomotion, example):
    styled = Styled(
        make_locomotion(4, command=AHEAD, still=0.0, alarm=0.8), [example], Fond(), AmpConfig(guide=0.0)
    )
    styled.reset()
    for _ in range(60):
        pace = styled.locomotion.state_dict()["pace"]
        step = styled.step(still(4))
        applies = styled.nearness(pace) * ~(step.terminated | step.truncated)
        np.testing.assert_allclose(styled.applies[-1], applies, rtol=1e-5)
    assert applies.max() > 0.1


def test_joints_that_are_not_where_the_clip_has_them_cost_by_hand(make_locomotion, contract):
    """Nothing for joints that are right; 1 rad^2 for a knee that is 1 rad off, nothing for an arm; at most 4."""
    motion, row = walking_clip(), 12
    angle = 2 * np.pi * 12.5 / ROWS

    def seen(joints: np.ndarray, habit: bool = True) -> np.ndarray:
        config = AmpConfig(weight=0.0, guide=10.0, habit=habit)
        styled = Styled(make_locomotion(2), [Example.of(motion, contract)], Fond(), config)
        styled.reset()
        world = styled.locomotion.world
        positions = np.tile(world.home, (2, 1))
        positions[:, 7:] = joints
        world.reset(np.arange(2), positions)
        styled._frames = frames(world, np.tile([np.sin(angle), np.cos(angle)], (2, 1)))
        return styled._astray(np.tile([0.8, 0.0, 0.0], (2, 1)))

    right = np.tile(motion.joint_position[row], (2, 1)).astype(float)
    for joint, habit, cost in (
        ("left_knee", True, 1.0), ("right_elbow", True, 0.0), ("waist_yaw", True, 0.0), ("waist_yaw", False, 1.0)
    ):  # fmt: skip
        wrong = right.copy()
        wrong[1, ROBOT.index(joint)] += 1.0
        np.testing.assert_allclose(
            seen(wrong, habit), [0.0, cost], atol=0.05
        )  # the clip is averaged over its neighbours
    np.testing.assert_array_equal(seen(right - 1.0), 4.0)


def test_the_habit_leads_the_joints_through_the_clip_at_its_speed(make_locomotion, contract):
    """But for the network, targets are the clip's joint angles at its speed, and the gait's far from it."""
    motion, brain = walking_clip(), Brain(contract)
    learner = AMP(brain, make_locomotion(2), [motion], AmpConfig(judge=SMALL), PPOConfig(), 0, 1)
    brain.habit.share.fill_(1.0)
    rows = np.arange(0, ROWS, 4)
    phase = (rows + 0.5) / ROWS
    seen = np.zeros((len(rows), contract.observation.history, contract.observation.frame_size), np.float32)
    seen[..., contract.observation.slices()["gait"]] = contract.gait.signal(Rhythm(phase, np.ones((len(rows), 3))))[
        :, None
    ]

    def targets(vx: float) -> np.ndarray:
        command = np.tile([vx, 0.0, 0.0], (len(rows), 1))
        silent = torch.zeros(len(rows), ROBOT.count)
        action = brain.habit(silent, torch.from_numpy(seen), torch.from_numpy(command).float()).numpy()
        return contract.action.targets(ROBOT, action, contract.gait.offsets(ROBOT, Rhythm(phase, command)))

    np.testing.assert_allclose(targets(learner.examples[0].speed), motion.joint_position[rows], atol=0.07)
    plain = ROBOT.default_position + contract.gait.offsets(ROBOT, Rhythm(phase, np.tile([-0.9, 0, 0], (13, 1))))
    np.testing.assert_allclose(targets(-0.9), plain, atol=1e-4)


def test_the_habit_comes_in_with_the_beat_and_may_be_left_out(make_locomotion, contract):
    learner = make(make_locomotion, contract, glide=0.4)
    for progress, share in ((0.0, 0.0), (0.2, 0.5), (0.4, 1.0)):
        learner.progress = progress
        learner.iterate()
        assert float(learner.brain.habit.share) == float(learner.average.habit.share) == pytest.approx(share)
    assert not make(make_locomotion, contract, habit=False).brain.habit.taught


def test_the_habit_rules_waist_and_arms_and_no_leg(make_locomotion, contract):
    rules = make(make_locomotion, contract).brain.habit.rules.numpy()
    upper = [any(part in name for part in ("waist", "shoulder", "elbow")) for name in ROBOT.joint_names]
    np.testing.assert_array_equal(rules, upper)


def test_what_he_did_before_is_kept_where_the_habit_does_not_apply(contract):
    """Three robots: asked for the clip's pace, for another one, and at rest."""
    brain = Brain(contract)
    anchor, motion = Anchor(brain), walking_clip()
    example = Example.of(motion, contract)
    brain.habit.learn(*habit_of([example], contract), np.zeros(ROBOT.count))
    brain.habit.share.fill_(1.0)
    with torch.no_grad():
        brain.action_head.linear.weight.add_(1.0)  # he has learnt something since
    generator = torch.Generator().manual_seed(0)
    frames = torch.randn(3, contract.observation.history, contract.observation.frame_size, generator=generator)
    places = contract.observation.slices()
    frames[..., places["angular_velocity"]] = 0.0
    frames[..., places["gait"]] = torch.tensor([0.6, 0.8])
    frames[2, :, places["gait"]] = 0.0
    command = torch.tensor([[example.speed, 0.0, 0.0], [-0.9, 0.0, 0.0], [0.0, 0.0, 0.0]])
    others = dict.fromkeys(("log_probability", "value", "advantage", "returns"), torch.zeros(3))
    samples = Samples(frames, command, torch.zeros(3, ROBOT.count), mean=torch.zeros(3, ROBOT.count), **others)
    mean, keeps = anchor(samples)
    torch.testing.assert_close(keeps, torch.tensor([0.0, 1.0, 1.0]), atol=0.01, rtol=0)
    torch.testing.assert_close(mean, anchor.before(Inputs(frames, command), value=False).mean)
    assert not torch.allclose(mean, brain(Inputs(frames, command), value=False).mean)


def test_the_anchor_is_in_what_is_made_small_and_in_checkpoints(make_locomotion, contract):
    learner = make(make_locomotion, contract)
    learner.iterate()
    with torch.no_grad():
        for weight in learner.brain.action_head.parameters():
            weight.add_(0.1)
    assert learner.iterate()["departure"] > 0
    assert any(name.startswith("before.") for name in learner.tensors())
    assert make(make_locomotion, contract, habit=False).iterate()["departure"] == 0.0


def test_who_falls_gets_nothing_for_style_and_is_no_example_of_the_policy(make_locomotion, example):
    styled = Styled(make_locomotion(3, command=AHEAD, still=0.0, fall_height=9.0), [example], Fond(), AmpConfig())
    styled.reset()
    step = styled.step(still(3))
    assert step.terminated.all() and step.terms["style"] == 0.0 and step.terms["guide"] == 0.0
    pairs, applies = styled.take()
    assert pairs.shape == (3, 2 * frame_size(ROBOT)) and not applies.any()


def test_what_is_taken_is_forgotten(make_locomotion, example):
    styled = Styled(make_locomotion(3), [example], Fond(), AmpConfig())
    styled.reset()
    for _ in range(5):
        styled.step(still(3))
    assert styled.take()[0].shape[0] == 15
    styled.step(still(3))
    assert styled.take()[0].shape[0] == 3


def make(make_locomotion, contract, seed: int = 0, **changes) -> AMP:
    torch.manual_seed(seed)
    environment = make_locomotion(6, seed, command=AHEAD, still=0.0, beat=Beat(1.04, 0.8), curriculum=0.5)
    config = replace(AmpConfig(judge=SMALL), **changes)
    return AMP(
        Brain(contract), environment, [walking_clip()], config, PPOConfig(rollout=4, minibatches=2), seed, threads=1
    )


def test_judge_and_policy_learn_and_tell_of_it(make_locomotion, contract):
    learner = make(make_locomotion, contract)
    before = {name: tensor.clone() for name, tensor in learner.tensors().items()}
    for _ in range(8):  # until he is asked for more than a little
        told = learner.iterate()
    assert {"policy_loss", "style_loss", "style_clip", "style_policy", "style_penalty", "style_right"} <= set(told)
    assert {"style", "guide", "likeness", "velocity"} <= set(learner.episodes.terms)
    for part in ("brain.action_head.linear.weight", "judge.network.0.weight", "judge.memory.rows"):
        assert not torch.equal(before[part], learner.tensors()[part])
    assert learner.samples == 24 and learner.broken == 0


def test_it_goes_on_bit_for_bit_as_if_nothing_had_happened(make_locomotion, contract):
    learner = make(make_locomotion, contract)
    for _ in range(6):
        learner.iterate()
    kept = {name: tensor.clone() for name, tensor in learner.tensors().items()}
    numbers = learner.numbers().model_copy(deep=True)
    again = make(make_locomotion, contract, seed=9)
    again.restore(kept, numbers)
    for _ in range(2):
        assert again.iterate() == learner.iterate()
    now, then = again.tensors(), learner.tensors()
    assert set(now) == set(then) and all(torch.equal(now[name], then[name]) for name in now)


def test_a_checkpoint_without_style_is_refused(make_locomotion, contract):
    learner = make(make_locomotion, contract)
    tensors = {name: t for name, t in learner.tensors().items() if name != "environment.style.frames"}
    with pytest.raises(JackError, match="phase without style"):
        make(make_locomotion, contract).restore(tensors, learner.numbers())


def test_the_beat_glides_from_the_contracts_to_the_clips(make_locomotion, contract):
    learner = make(make_locomotion, contract, glide=0.4)
    environment, periods = learner.ppo.environment.locomotion, []
    for progress in (0.0, 0.2, 0.4, 0.9):
        learner.progress = progress
        learner.iterate()
        periods.append(environment.gait.period)
    assert periods == pytest.approx([0.52, 0.78, 1.04, 1.04])
    assert periods[-1] == 1.04  # to the last bit: what robots are told


def test_a_task_without_a_beat_gets_the_clips(make_locomotion, contract):
    environment = make_locomotion(2)
    learner = AMP(Brain(contract), environment, [walking_clip(rows=44)], AmpConfig(judge=SMALL), PPOConfig(), 0, 1)
    assert environment.config.beat == learner.beat
    assert asdict(learner.beat) == pytest.approx({"period": 0.88, "speed": 0.8})


def test_a_clip_at_a_beat_that_he_cannot_walk_at_is_refused_with_what_to_type(make_locomotion, contract):
    with pytest.raises(JackError, match=r"two steps take 1\.60 s; .* --speed 1\.78 walking\.bvh"):
        AMP(Brain(contract), make_locomotion(2), [walking_clip(rows=80)], AmpConfig(), PPOConfig(), 0, 1)


def test_no_exam_before_he_walks_at_his_own_beat(make_locomotion, contract, monkeypatch):
    learner = make(make_locomotion, contract, glide=0.4)
    monkeypatch.setattr(type(learner.ppo), "ready", True)
    learner.progress = 0.2
    learner.iterate()
    assert not learner.ready
    learner.progress = 0.5
    learner.iterate()
    assert learner.ready


def test_without_a_clip_there_is_no_style(make_locomotion, contract):
    with pytest.raises(JackError, match="--clips"):
        AMP(Brain(contract), make_locomotion(2), [], AmpConfig(), PPOConfig(), 0, 1)


@pytest.mark.parametrize("changes", [{"weight": -1.0}, {"glide": 1.5}, {"weight": math.nan}])
def test_what_cannot_be_meant_is_refused(changes):
    with pytest.raises(JackError):
        AmpConfig(**changes)


def test_a_pair_is_one_control_period_apart(make_locomotion, contract):
    """The speeds in the second frame are about the difference of the positions over a period."""
    learner = make(make_locomotion, contract)
    judge = Judge(learner.examples[0].pairs, SMALL, 0)
    assert judge.like(learner.examples[0].pairs).shape == (104,)
    size, n = frame_size(ROBOT), ROBOT.count
    first, second = learner.examples[0].pairs[:52, :n], learner.examples[0].pairs[:52, size : size + n]
    speed = learner.examples[0].pairs[:52, n : 2 * n]
    np.testing.assert_allclose((second - first) / PERIOD, speed, atol=0.5)
