import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from jack_trainer.rl.rollout import Rollout, Samples, generalised_advantages
from jack_trainer.tasks.environment import Observation


def column(*numbers: float) -> torch.Tensor:
    """(T, 1): one environment, step after step."""
    return torch.tensor(numbers)[:, None]


def gae(reward, value, last, done, gamma=0.5, lam=0.5) -> list[float]:
    advantage = generalised_advantages(
        column(*reward), column(*value), torch.tensor([last]), column(*done), gamma, lam
    )
    return advantage[:, 0].tolist()


def test_three_steps_by_hand():
    # gamma = lambda = 1/2
    # delta_2 = 3 + 1/2 * 8 - 4 = 3        A_2 = 3
    # delta_1 = 2 + 1/2 * 4 - 2 = 2        A_1 = 2 + 1/4 * 3 = 2.75
    # delta_0 = 1 + 1/2 * 2 - 1 = 1        A_0 = 1 + 1/4 * 2.75 = 1.6875
    assert gae([1.0, 2.0, 3.0], [1.0, 2.0, 4.0], 8.0, [0.0, 0.0, 0.0]) == [1.6875, 2.75, 3.0]


def test_an_end_cuts_both_the_value_beyond_it_and_the_advantage_beyond_it():
    # the episode ends with step 1: nothing of step 2 reaches steps 0 and 1
    # delta_2 = 3 + 1/2 * 8 - 4 = 3        A_2 = 3
    # delta_1 = 2 - 2 = 0                  A_1 = 0
    # delta_0 = 1 + 1/2 * 2 - 1 = 1        A_0 = 1 + 1/4 * 0 = 1
    assert gae([1.0, 2.0, 3.0], [1.0, 2.0, 4.0], 8.0, [0.0, 1.0, 0.0]) == [1.0, 0.0, 3.0]


def test_an_end_with_the_last_step_cuts_the_last_value():
    # delta_1 = 2 - 3 = -1                 A_1 = -1
    # delta_0 = 1 + 1/2 * 3 - 1 = 1.5      A_0 = 1.5 + 1/4 * -1 = 1.25
    assert gae([1.0, 2.0], [1.0, 3.0], 1000.0, [0.0, 1.0]) == [1.25, -1.0]


def test_lambda_zero_is_the_one_step_error_and_lambda_one_the_whole_return():
    reward, value, last = [1.0, 2.0, 3.0], [1.0, 2.0, 4.0], 8.0
    # one step: the deltas of the first test
    assert gae(reward, value, last, [0.0] * 3, lam=0.0) == [1.0, 2.0, 3.0]
    # returns: R_2 = 3 + 1/2 * 8 = 7, R_1 = 2 + 1/2 * 7 = 5.5, R_0 = 1 + 1/2 * 5.5 = 3.75; minus the values
    assert gae(reward, value, last, [0.0] * 3, lam=1.0) == [2.75, 3.5, 3.0]


def test_environments_do_not_mix():
    reward, value = torch.rand(5, 3), torch.rand(5, 3)
    last, done = torch.rand(3), (torch.rand(5, 3) < 0.3).float()
    together = generalised_advantages(reward, value, last, done, 0.9, 0.8)
    for i in range(3):
        alone = generalised_advantages(reward[:, [i]], value[:, [i]], last[[i]], done[:, [i]], 0.9, 0.8)
        torch.testing.assert_close(together[:, [i]], alone, rtol=0, atol=0)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_it_is_the_sum_of_its_definition(seed, gamma, lam):
    """A_t is the sum of (gamma lambda)^k delta_{t+k} up to the end of the episode."""
    random = np.random.default_rng(seed)
    length = 7
    reward, value, done = random.normal(size=length), random.normal(size=length), random.random(length) < 0.3
    beyond = np.append(value[1:], random.normal())
    delta = reward + gamma * beyond * ~done - value
    expected = []
    for t in range(length):
        total, weight = 0.0, 1.0
        for k in range(t, length):
            total, weight = total + weight * delta[k], weight * gamma * lam
            if done[k]:
                break
        expected.append(total)
    found = gae(reward.tolist(), value.tolist(), float(beyond[-1]), done.astype(float).tolist(), gamma, lam)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def nothing(*shape: int, command: bool = False) -> Observation:
    """Zeros of the shape (N, H, D) of the proprioception, with or without command and truth."""
    others = [np.zeros((shape[0], size), np.float32) if command else None for size in (3, 8)]
    return Observation(np.zeros(shape, np.float32), *others)


def filled(length=2, count=3) -> Rollout:
    """Every number of it says which step and environment it is from: 10 t + i."""
    rollout = Rollout(length, nothing(count, 2, 4, command=True), 5)
    for t in range(length):
        mark = 10.0 * t + torch.arange(count)
        seen = Observation(
            np.broadcast_to(mark.numpy()[:, None, None], (count, 2, 4)).astype(np.float32),
            np.broadcast_to(mark.numpy()[:, None], (count, 3)).astype(np.float32),
            np.broadcast_to(mark.numpy()[:, None], (count, 8)).astype(np.float32),
        )
        rollout.put(t, seen, mark[:, None].expand(-1, 5), -mark[:, None].expand(-1, 5), mark / 2, mark / 4)
    return rollout


def test_time_bootstraps_only_the_episodes_it_cut_off():
    # environments 0 and 2 of three are cut off in step 1; value beyond 8 and 6, gamma 1/2: 1 + 4, 1 + 3
    rollout = filled()
    rollout.reward[:] = 1.0
    rollout.bootstrap(1, torch.tensor([True, False, True]), torch.tensor([8.0, 6.0]), 0.5)
    assert rollout.reward.tolist() == [[1.0, 1.0, 1.0], [5.0, 1.0, 4.0]]


def test_a_cut_off_step_is_worth_what_it_would_have_been_had_time_gone_on():
    """Bootstrapping and an end give the advantage of a last step whose value beyond is the same."""
    rollout = Rollout(1, nothing(1, 1, 1), 1)
    rollout.reward[0, 0], rollout.value[0, 0] = 2.0, 3.0
    rollout.bootstrap(0, torch.tensor([True]), torch.tensor([10.0]), 0.9)
    rollout.done[0, 0] = 1.0
    samples = rollout.finish(torch.tensor([-77.0]), 0.9, 0.95)  # the next episode's value: does not count
    # 2 + 0.9 * 10 - 3 = 8
    assert samples.advantage.tolist() == pytest.approx([8.0])
    assert samples.returns.tolist() == pytest.approx([11.0])


def test_samples_are_the_steps_laid_end_to_end():
    rollout = filled()
    samples = rollout.finish(torch.zeros(3), 0.9, 0.95)
    marks = torch.tensor([0.0, 1.0, 2.0, 10.0, 11.0, 12.0])
    assert samples.proprioception.shape == (6, 2, 4) and samples.command.shape == (6, 3)
    torch.testing.assert_close(samples.proprioception[:, 1, 3], marks)
    torch.testing.assert_close(samples.command[:, 2], marks)
    torch.testing.assert_close(samples.truth[:, 5], marks)
    torch.testing.assert_close(samples.mean[:, 4], marks)
    torch.testing.assert_close(samples.action[:, 4], -marks)
    torch.testing.assert_close(samples.log_probability, marks / 2)
    torch.testing.assert_close(samples.value, marks / 4)
    torch.testing.assert_close(samples.returns, samples.advantage + samples.value)


def test_what_was_seen_is_copied():
    rollout = Rollout(1, nothing(2, 1, 1), 1)
    frames = np.ones((2, 1, 1), np.float32)
    rollout.put(0, Observation(frames), torch.zeros(2, 1), torch.zeros(2, 1), torch.zeros(2), torch.zeros(2))
    frames[:] = 5.0
    assert rollout.proprioception.eq(1.0).all()


def test_rows_are_copies_and_a_missing_command_stays_missing():
    rollout = Rollout(2, nothing(2, 1, 1), 1)
    samples = rollout.finish(torch.zeros(2), 0.9, 0.95)
    part = samples.rows(torch.tensor([3, 1]))
    assert isinstance(part, Samples) and part.command is None and part.value.shape == (2,)
    part.action += 1.0
    assert samples.action.eq(0.0).all()


def test_rows_keep_each_sample_together():
    part = filled().finish(torch.zeros(3), 0.9, 0.95).rows(torch.tensor([4, 0]))
    assert part.mean[:, 0].tolist() == [11.0, 0.0]
    assert part.action[:, 0].tolist() == [-11.0, 0.0]
    assert part.command[:, 0].tolist() == [11.0, 0.0]
