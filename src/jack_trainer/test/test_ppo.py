import copy
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from scipy import stats

from jack_brain.network.brain import Brain, Inputs, Output
from jack_trainer.rl.episodes import EpisodeLog
from jack_trainer.rl.gaussian import divergence, entropy, log_probability
from jack_trainer.rl.ppo import BreakdownError
from jack_trainer.rl.ppo_loss import asymmetry, departure
from jack_trainer.rl.rollout import Samples
from jack_trainer.tasks.environment import Observation, Transition


def normal(seed: int, batch: int = 6, size: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mean, action = (torch.randn(batch, size, generator=generator, dtype=torch.float64) for _ in range(2))
    return mean, torch.randn(size, generator=generator, dtype=torch.float64), action


# -- the three formulas


def test_log_density_is_scipys():
    mean, log_std, action = normal(1)
    expected = stats.norm.logpdf(action, mean, log_std.exp()).sum(-1)
    np.testing.assert_allclose(log_probability(mean, log_std, action), expected, rtol=1e-12)


def test_log_density_by_hand():
    # one action, one deviation from the mean, sigma 2: -1/2 - ln 2 - 1/2 ln(2 pi) = -2.11208571
    found = log_probability(torch.tensor([[1.0]]), torch.tensor([math.log(2.0)]), torch.tensor([[3.0]]))
    assert found.tolist() == pytest.approx([-2.11208571])


def test_entropy_is_scipys():
    _, log_std, _ = normal(2)
    assert float(entropy(log_std)) == pytest.approx(sum(stats.norm(scale=s).entropy() for s in log_std.exp()))


def test_divergence_by_hand():
    # KL(N(0, 1) || N(1, 2)) = ln 2 + (1 + 1) / (2 * 4) - 1/2 = 0.44314718
    zero, one = torch.zeros(1, 1), torch.ones(1, 1)
    assert float(divergence(zero, torch.zeros(1), one, torch.tensor([math.log(2.0)]))) == pytest.approx(0.44314718)


def test_divergence_is_torchs_and_nothing_between_a_policy_and_itself():
    (old, old_log_std, _), (new, log_std, _) = normal(3), normal(4)
    before = torch.distributions.Normal(old, old_log_std.exp())
    after = torch.distributions.Normal(new, log_std.exp())
    expected = torch.distributions.kl_divergence(before, after).sum(-1).mean()
    torch.testing.assert_close(divergence(old, old_log_std, new, log_std), expected)
    assert float(divergence(old, old_log_std, old, old_log_std)) == 0.0


# -- left and right


def at_rest(contract, resting: bool = True) -> Samples:
    """Eight samples of bodies that all are otherwise."""
    observation, generator = contract.observation, torch.Generator().manual_seed(0)
    frames = torch.randn(8, observation.history, observation.frame_size, generator=generator)
    frames[:, :, observation.slices()["gait"]] = 0.0 if resting else 0.7
    count = contract.robot.count
    others = {name: torch.zeros(8) for name in ("log_probability", "value", "advantage", "returns")}
    return Samples(frames, torch.zeros(8, 3), torch.zeros(8, count), mean=torch.zeros(8, count), **others)


def test_asymmetry_by_hand(contract):
    """Who always does 0.3 at the left hip's roll and 0.1 at the right one's."""
    brain, part = Brain(contract, std=0.5), at_rest(contract)
    left, right = (contract.robot.joint_names.index(f"{side}_hip_roll") for side in ("left", "right"))
    mean = torch.zeros(8, contract.robot.count)
    mean[:, left], mean[:, right] = 0.3, 0.1
    brain.forward = lambda given, value: Output(mean[: len(given.proprioception)], None)
    sign = float(contract.robot.mirror_sign[left])
    # apart by 0.3 - sign 0.1 and 0.1 - sign 0.3, in deviations of 0.5
    expected = ((0.3 - sign * 0.1) / 0.5) ** 2 + ((0.1 - sign * 0.3) / 0.5) ** 2
    assert float(asymmetry(brain, part, mean)) == pytest.approx(expected)


def test_where_a_foot_swings_left_and_right_are_one_already(contract):
    brain, part = Brain(contract), at_rest(contract, resting=False)
    mean = brain(Inputs(part.proprioception, part.command)).mean
    assert float(asymmetry(brain, part, mean).detach()) == 0.0


def test_a_mirror_loss_makes_left_and_right_one_at_rest(contract):
    torch.manual_seed(0)
    brain, part = Brain(contract), at_rest(contract)
    with torch.no_grad():
        brain.action_head.linear.weight.mul_(30.0)  # a new brain does next to nothing

    def apart() -> torch.Tensor:
        return asymmetry(brain, part, brain(Inputs(part.proprioception, part.command)).mean)

    first, optimiser = float(apart().detach()), torch.optim.Adam(brain.parameters(), lr=1e-3)
    for _ in range(20):
        optimiser.zero_grad()
        apart().backward()
        optimiser.step()
    assert 0 < float(apart().detach()) < 0.2 * first


def test_who_has_no_sides_has_no_asymmetry(contract):
    brain, part = Brain(contract, symmetric=False), at_rest(contract)
    assert float(asymmetry(brain, part, torch.ones(8, contract.robot.count))) == 0.0


# -- what was before


def test_departure_from_what_he_did_before_by_hand(contract):
    """Off by 0.3 in one joint, in deviations of 0.5; every other one is to keep half of it, the others nothing."""
    brain, part, mean = Brain(contract, std=0.5), at_rest(contract), torch.zeros(8, contract.robot.count)
    assert float(departure(brain, part, mean)) == 0.0
    part.before, part.keeps = mean, torch.tensor([0.5, 0.0] * 4)
    mean = mean.clone()
    mean[:, 3] = 0.3
    assert float(departure(brain, part, mean)) == pytest.approx(0.5 * 0.25 * (0.3 / 0.5) ** 2)


# -- learning


def reward_of_the_mean(learner) -> float:
    """What the toy pays for the policy without noise."""
    target = torch.rand(500, 1, 2, generator=torch.Generator().manual_seed(9)) * 2 - 1
    with torch.no_grad():
        mean = learner.brain(Inputs(target)).mean
    return float(torch.exp(-(mean - target[:, 0]).square().sum(-1)).mean())


def test_it_learns_the_toy(make_learner):
    learner = make_learner()
    before = reward_of_the_mean(learner)
    for _ in range(12):
        told = learner.iterate()
    after = reward_of_the_mean(learner)
    assert before < 0.6  # E exp(-|x|^2) over the square, what doing nothing pays: 0.558
    assert after > 0.85
    assert told["noise"] < 0.5  # surer of itself than at the start


def test_a_seed_decides_everything_bit_for_bit(make_learner):
    learners = [make_learner(seed=3), make_learner(seed=3), make_learner(seed=4)]
    for learner in learners:
        for _ in range(3):
            learner.iterate()
    first, second, other = (learner.brain.state_dict() for learner in learners)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["action_head.linear.weight"], other["action_head.linear.weight"])


def test_the_normaliser_moves_only_after_the_update(make_learner):
    learner = make_learner()
    samples = learner.rollout.finish(learner.collect(), 0.9, 0.95)
    learner.update(samples)
    assert float(learner.brain.normaliser.count) == 0.0
    learner.iterate()
    assert float(learner.brain.normaliser.count) == 8 * 32


def test_a_loss_that_is_no_number_stops_the_training_and_spares_the_brain(make_learner):
    learner = make_learner()
    samples = learner.rollout.finish(learner.collect(), 0.9, 0.95)
    samples.advantage[5] = math.nan
    before = copy.deepcopy(learner.brain.state_dict())
    with pytest.raises(BreakdownError, match="not finite") as raised:
        learner.update(samples)
    assert math.isnan(raised.value.measured["policy_loss"])
    assert raised.value.samples.advantage.isnan().any()
    weights = {name: t for name, t in learner.brain.state_dict().items() if "normaliser" not in name}
    assert all(torch.equal(before[name], weight) for name, weight in weights.items())


# -- experience


def test_what_is_stored_is_what_was_done(make_learner):
    learner = make_learner()
    learner.collect()
    rollout, brain = learner.rollout, learner.brain
    for t in range(8):
        assert torch.equal(rollout.proprioception[t], torch.from_numpy(learner.environment.seen[t]))
    with torch.no_grad():
        mean = brain(Inputs(rollout.proprioception[5])).mean
    torch.testing.assert_close(rollout.mean[5], mean)
    density = torch.distributions.Normal(mean, brain.log_std.exp()).log_prob(rollout.action[5]).sum(-1)
    torch.testing.assert_close(rollout.log_probability[5], density.detach())
    error = (rollout.action[5] - rollout.proprioception[5, :, 0]).square().sum(-1)
    torch.testing.assert_close(rollout.reward[5], torch.exp(-error))


def test_time_is_not_an_end(make_learner):
    """The last step of an episode that was cut off is credited with gamma times the value of what was seen last."""
    learner = make_learner(gamma=0.5)  # episodes of 8 steps, rollouts of 8
    learner.brain.value_normaliser.update(torch.tensor([[10.0], [30.0]]))  # values in units of return, not raw
    learner.collect()
    rollout, final = learner.rollout, torch.from_numpy(learner.environment.seen[8])
    with torch.no_grad():
        value = learner.brain.value_normaliser.restore(learner.brain(Inputs(final)).value)[:, 0]
    error = (rollout.action[7] - rollout.proprioception[7, :, 0]).square().sum(-1)
    torch.testing.assert_close(rollout.reward[7], torch.exp(-error) + 0.5 * value)
    assert rollout.done.sum(0).eq(1.0).all() and rollout.done[7].eq(1.0).all()
    assert value.mean() > 5.0


def recorded(learner, samples: Samples) -> list[Inputs]:
    """What the brain is shown during an update."""
    shown: list[Inputs] = []
    learner.brain.register_forward_pre_hook(lambda _, args: shown.append(args[0]))
    learner.update(samples)
    return shown


def marked(count: int) -> Samples:
    """Samples that one can tell apart by either of their two numbers; actions are twice what is seen."""
    marks = torch.arange(1.0, count + 1) / 100
    seen = torch.stack((marks, marks + 10.0), dim=-1)
    return Samples(
        proprioception=seen[:, None],
        command=None,
        action=2.0 * seen,
        log_probability=torch.zeros(count),
        mean=torch.zeros(count, 2),
        value=torch.zeros(count),
        advantage=torch.sin(50 * marks),
        returns=torch.cos(50 * marks),
    )


def gradients(learner, samples: Samples) -> dict[str, torch.Tensor]:
    """What the first minibatch of an update makes of every weight, before it is shortened or used."""
    learner.config = replace(learner.config, gradient_norm=math.inf)
    steps: list[dict[str, torch.Tensor]] = []

    def note(*_: object) -> None:
        weights = learner.brain.named_parameters()
        steps.append({name: weight.grad.clone() for name, weight in weights if weight.grad is not None})

    learner.optimiser.register_step_pre_hook(note)
    learner.update(samples)
    return steps[0]


def test_every_sample_is_seen_once_an_epoch_in_an_order_of_its_own(make_learner):
    shown = recorded(make_learner(epochs=3, minibatches=4), marked(32))
    assert [len(inputs.proprioception) for inputs in shown] == [8] * 12
    epochs = [torch.cat([i.proprioception[:, 0, 0] for i in shown[k : k + 4]]) for k in (0, 4, 8)]
    for epoch in epochs:
        torch.testing.assert_close(epoch.sort().values, torch.arange(1.0, 33) / 100)
    assert not torch.equal(epochs[0], epochs[1]) and not torch.equal(epochs[1], epochs[2])


# -- the gradient


def at_once(learner, samples: Samples) -> dict[str, torch.Tensor]:
    """The gradient of the loss as the module's first lines have it, in one piece."""
    config, brain = learner.config, learner.brain
    brain.value_normaliser.update(samples.returns[:, None])
    returns = brain.value_normaliser(samples.returns[:, None])[:, 0]
    advantage = (samples.advantage - samples.advantage.mean()) / samples.advantage.std()
    output = brain(Inputs(samples.proprioception))
    policy = torch.distributions.Normal(output.mean, brain.log_std.exp())
    ratio = (policy.log_prob(samples.action).sum(-1) - samples.log_probability).exp()
    gain = torch.min(ratio * advantage, ratio.clamp(1 - config.clip, 1 + config.clip) * advantage).mean()
    error = (output.value[:, 0] - returns).square().mean()
    spread = policy.entropy().sum(-1).mean()
    (-gain + config.value * error - config.entropy * spread).backward()
    return {name: weight.grad for name, weight in brain.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("count", [2, 32])  # fewer samples than threads; slices of 11, 11 and 10
def test_slices_of_a_minibatch_add_up_to_it(make_learner, threads, count):
    samples = marked(count)
    samples.log_probability -= 1.5  # some ratios are clipped and some not
    sliced = gradients(make_learner(minibatches=1, entropy=0.1, threads=threads), copy.deepcopy(samples))
    expected = at_once(make_learner(entropy=0.1), samples)
    assert set(sliced) == set(expected)
    assert not {name for name in sliced if name.startswith(("command", "instruction", "image"))}  # absent here
    for name, gradient in expected.items():
        torch.testing.assert_close(sliced[name], gradient, rtol=1e-5, atol=1e-6, msg=name)


def test_what_is_told_does_not_depend_on_the_threads(make_learner):
    samples = marked(32)
    samples.log_probability -= 1.5
    one, *others = (make_learner(threads=n, epochs=1).update(copy.deepcopy(samples)) for n in (1, 2, 3))
    for other in others:
        assert asdict(other) == pytest.approx(asdict(one), rel=1e-4, abs=1e-6)


def test_a_gradient_that_is_too_long_is_shortened_and_told_in_full(make_learner):
    learner = make_learner(epochs=1, minibatches=1, gradient_norm=1e-3)
    norm = torch.stack([g.norm() for g in gradients(make_learner(minibatches=1), marked(32)).values()]).norm()
    assert learner.update(marked(32)).gradient_norm == pytest.approx(float(norm), rel=1e-4)
    used = torch.stack([w.grad.norm() for w in learner.brain.parameters() if w.grad is not None]).norm()
    assert float(norm) > 1e-2 and float(used) == pytest.approx(1e-3, rel=1e-2)


# -- the average


def test_the_average_forgets_by_its_memory(make_learner):
    """By hand: the first brain; then a quarter of 2, 3, 4 updates against the newest one."""
    learner = make_learner(memory=0.25)
    expected: dict[str, torch.Tensor] = {}
    for kept in (0.0, 0.5 / 1.5, 0.75 / 1.75, 1.0 / 2.0):
        learner.iterate()
        for name, weight in learner.brain.named_parameters():
            new = weight.detach().double()
            expected[name] = kept * expected[name] + (1 - kept) * new if kept else new
    assert int(learner.averaged) == 4
    for name, weight in learner.average.named_parameters():
        torch.testing.assert_close(weight.detach().double(), expected[name], rtol=0, atol=1e-6, msg=name)
    assert not torch.equal(learner.average.log_std, learner.brain.log_std)


def test_the_average_sees_with_the_newest_normaliser(make_learner):
    learner = make_learner()
    for _ in range(2):
        learner.iterate()
    newest = dict(learner.brain.named_buffers())
    assert float(newest["normaliser.count"]) == 2 * 8 * 32
    for name, buffer in learner.average.named_buffers():
        assert torch.equal(buffer, newest[name]), name


def test_the_average_does_not_act(make_learner):
    learner = make_learner()
    learner.iterate()
    with torch.no_grad():
        learner.average.action_head.linear.weight.fill_(math.nan)
    assert math.isfinite(learner.iterate()["gradient_norm"])


# -- the noise


def test_noise_has_a_floor(make_learner):
    learner = make_learner(noise=0.5)  # where it begins, and no gradient is to get it lower
    with torch.no_grad():
        learner.brain.action_head.log_std[0] = math.log(0.4)
    told = learner.update(marked(32))
    assert learner.brain.log_std.exp().min() >= 0.5 - 1e-6 and told.noise >= 0.5 - 1e-6


def test_noise_falls_by_a_share_with_each_update_as_far_as_it_may(make_learner):
    """Nothing else changes it: no step is taken. It begins at 1."""
    learner = make_learner(noise=0.85, calming=0.1, rate=0.0, rate_bounds=(0.0, 0.0))
    torch.nn.init.zeros_(learner.brain.log_std)
    seen = [learner.iterate()["noise"] for _ in range(3)]
    assert seen == pytest.approx([0.9, 0.85, 0.85])


@pytest.mark.parametrize(("entropy", "sign"), [(0.1, 1.0), (-0.1, -1.0)])
def test_noise_is_paid_for_or_charged(make_learner, entropy, sign):
    samples = marked(32)
    free, priced = (gradients(make_learner(entropy=e), copy.deepcopy(samples)) for e in (0.0, entropy))
    # the entropy grows by 1 with the logarithm of each standard deviation, and the loss falls by its weight
    change = priced["action_head.log_std"] - free["action_head.log_std"]
    torch.testing.assert_close(change, torch.full((2,), -0.1 * sign), rtol=1e-4, atol=1e-6)


def test_the_trunk_learns_to_feel_what_it_was_told(make_learner):
    """The estimate's error has its share of the gradient: by hand for its bias, at its weight in the loss."""
    truth = torch.linspace(-0.5, 0.5, 32)[:, None].expand(32, 8).contiguous()
    learner = make_learner(estimate=0.3, minibatches=1)
    with torch.no_grad():
        learner.brain.action_head.estimate.weight.zero_()
        learner.brain.action_head.estimate.bias.fill_(0.6)
    found = gradients(learner, replace(marked(32), truth=truth))
    # d/db mean((b - 4 t)^2) of each number = 2 (0.6 - 0) / 8, for the truths cancel out
    torch.testing.assert_close(found["action_head.estimate.bias"], torch.full((8,), 0.3 * 2 * 0.6 / 8))
    free = gradients(make_learner(estimate=0.0, minibatches=1), replace(marked(32), truth=truth))
    assert not free["action_head.estimate.weight"].any()


# -- the step size


def test_a_policy_that_hardly_moves_learns_faster(make_learner):
    # aim out of reach: each of 4 minibatches multiplies by 1.5; 1e-3 * 1.5^4 = 5.0625e-3
    learner = make_learner(rate=1e-3, rate_bounds=(1e-5, 1.0), divergence=1e9, epochs=1, minibatches=4)
    assert learner.iterate()["rate"] == pytest.approx(5.0625e-3)


def test_the_rate_stays_within_its_bounds(make_learner):
    assert make_learner(rate=1e-3, rate_bounds=(1e-5, 2e-3), divergence=1e9).iterate()["rate"] == 2e-3
    # aim of nothing: the first minibatch has not moved yet, every later one moved too far
    assert make_learner(rate=1e-3, rate_bounds=(9e-4, 1.0), divergence=1e-12).iterate()["rate"] == 9e-4


def test_between_half_and_twice_the_aim_the_rate_stays(make_learner):
    samples = marked(32)
    learner = make_learner(rate=1e-3, epochs=1, minibatches=1, divergence=0.01)
    with torch.no_grad():
        here = learner.brain(Inputs(samples.proprioception)).mean
    # equal spreads: KL = sum of (shift / sigma)^2 / 2 = 2 * (0.05 / 0.5)^2 / 2 = 0.01, the aim
    samples.mean = here + 0.05
    told = learner.update(samples)
    assert told.rate == 1e-3 and told.divergence == pytest.approx(0.01, rel=1e-4)


def test_the_aim_falls_towards_the_end(make_learner):
    learner, aims = make_learner(divergence=0.02, last_divergence=0.005, polish_from=0.5), []
    for learner.progress in (0.0, 0.5, 0.75, 1.0):
        aims.append(learner.aim)
    assert aims == pytest.approx([0.02, 0.02, 0.01, 0.005])


@pytest.mark.parametrize(("progress", "rate"), [(0.0, 1e-3), (1.0, 1e-3 / 1.5)])
def test_what_was_near_enough_at_first_is_too_far_in_the_end(make_learner, progress, rate):
    samples = marked(32)
    learner = make_learner(rate=1e-3, epochs=1, minibatches=1, divergence=0.01, last_divergence=0.004)
    learner.progress = progress
    with torch.no_grad():
        samples.mean = learner.brain(Inputs(samples.proprioception)).mean + 0.05  # KL 0.01, as above
    assert learner.update(samples).rate == pytest.approx(rate)


# -- what is told


def test_explained_variance(make_learner):
    def explained(value: torch.Tensor, returns: torch.Tensor) -> float:
        samples = marked(32)
        samples.value, samples.returns = value, returns
        return make_learner().update(samples).explained_variance

    returns = torch.linspace(-1.0, 1.0, 32)
    assert explained(returns.clone(), returns.clone()) == pytest.approx(1.0)
    assert explained(torch.zeros(32), returns.clone()) == pytest.approx(0.0, abs=1e-6)
    assert explained(returns / 2, returns.clone()) == pytest.approx(0.75)  # a quarter of the variance is left


def test_the_share_of_clipped_samples(make_learner):
    samples = marked(32)
    learner = make_learner(epochs=1, minibatches=1, clip=0.2)
    with torch.no_grad():
        density = log_probability(
            learner.brain(Inputs(samples.proprioception)).mean, learner.brain.log_std, samples.action
        )
    samples.log_probability = density.clone()
    samples.log_probability[:8] += 1.0  # a ratio of 1/e for a quarter of them
    assert learner.update(samples).clipped == 0.25


def transition(returns: list[float], lengths: list[int], terms: dict[str, float]) -> Transition:
    nobody = np.zeros(1, bool)
    seen = Observation(np.zeros((1, 1, 1), np.float32))
    return Transition(
        seen, np.zeros(1, np.float32), nobody, nobody, None, np.array(returns, np.float32), np.array(lengths), terms
    )


def test_the_log_remembers_the_last_episodes():
    log = EpisodeLog(length=3)
    assert math.isnan(log.mean_return) and math.isnan(log.mean_length)
    log.add(transition([1.0, 2.0], [10, 20], {}))
    log.add(transition([3.0, 4.0], [30, 40], {}))
    assert log.mean_return == 3.0 and log.mean_length == 30.0  # of 2, 3, 4


def test_the_log_smooths_reward_terms_and_is_restored():
    log = EpisodeLog()
    log.add(transition([5.0], [7], {"alive": 2.0}))
    log.add(transition([], [], {"alive": 4.0}))
    assert log.terms["alive"] == pytest.approx(2.02)  # 0.99 * 2 + 0.01 * 4
    again = EpisodeLog()
    again.restore(list(log.returns), list(log.lengths), log.terms)
    assert (again.mean_return, again.mean_length, again.terms) == (5.0, 7.0, log.terms)


def test_a_term_that_is_no_number_once_does_not_stay():
    log = EpisodeLog()
    for value in (math.nan, 2.0, math.nan, math.inf, 4.0):
        log.add(transition([], [], {"pose": value}))
    assert log.terms["pose"] == pytest.approx(2.02)
