"""What PPO makes small, over some samples.

    L(theta) = E[min(r A, clip(r, 1 - eps, 1 + eps) A)] - c_v (V - R)^2 + c_e H,   r = pi(a|s) / pi_old(a|s)

less, where a simulator tells the truth, c_t (T - t)^2: what the same features say of it; and, at rest,
c_m |pi(s) - M pi(M s)|^2: left and right are one (a mirror loss, Yu et al. 2018, arXiv 1801.08093); and,
where he is to keep what he could before, c_k KL(pi_before || pi), but for the spread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from jack_brain.network.brain import Brain, Inputs
from jack_trainer.rl.gaussian import divergence, entropy, log_probability
from jack_trainer.rl.rollout import Samples

if TYPE_CHECKING:
    from jack_trainer.rl.ppo import PPOConfig

#: What is measured of it, in this order.
PARTS = ("policy_loss", "value_loss", "entropy", "divergence", "clipped", "asymmetry", "departure")
#: Of so many samples one is looked at in the mirror: it costs another pass.
_FEW = 4


def ppo_loss(brain: Brain, part: Samples, config: PPOConfig, old_log_std: Tensor) -> tuple[Tensor, Tensor]:
    """The loss over some samples, and the `PARTS` of it, one number each.

    Args:
        brain: that learns.
        part: samples, with advantages and returns normalised.
        config: weights of the terms.
        old_log_std: of the policy that made the samples, (n,).
    """
    output = brain(Inputs(part.proprioception, part.command, truth=part.truth))
    ratio = (log_probability(output.mean, brain.log_std, part.action) - part.log_probability).exp()
    within = ratio.clamp(1 - config.clip, 1 + config.clip)
    policy_loss = -torch.min(ratio * part.advantage, within * part.advantage).mean()
    assert output.value is not None
    value_loss = (output.value.squeeze(-1) - part.returns).square().mean()
    spread = entropy(brain.log_std)
    apart = asymmetry(brain, part, output.mean) if config.mirror else torch.zeros(())
    gone = departure(brain, part, output.mean)
    loss = policy_loss + config.value * value_loss - config.entropy * spread + config.mirror * apart
    loss = loss + config.keep * gone
    if output.estimate_error is not None:
        loss = loss + config.estimate * output.estimate_error.mean()
    with torch.no_grad():
        moved = divergence(part.mean, old_log_std, output.mean, brain.log_std)
        clipped = (ratio != within).float().mean()
        measured = torch.stack((policy_loss, value_loss, spread, moved, clipped, apart, gone))
    return loss, measured


def asymmetry(brain: Brain, part: Samples, mean: Tensor) -> Tensor:
    """How far what he does at rest is from the mirror image of what he would do in the mirror.

    Args:
        brain: that acts.
        part: samples; some are looked at.
        mean: what it does, (B, n).

    Returns:
        The squared distance, in standard deviations of the action, summed over its numbers; one number. 0 where
        nobody is at rest, or left and right are not one.
    """
    symmetry, few = brain.symmetry, slice(None, None, _FEW)
    if symmetry is None:
        return torch.zeros(())
    given = Inputs(part.proprioception[few], None if part.command is None else part.command[few])
    rest = symmetry.at_rest(given.proprioception)
    mirrored = symmetry.action(brain(symmetry.inputs(given, rest), value=False).mean, rest)
    apart = (mean[few] - mirrored) * torch.exp(-brain.log_std.detach())
    return (apart.square().sum(-1) * rest).sum() / rest.sum().clamp(min=1)


def departure(brain: Brain, part: Samples, mean: Tensor) -> Tensor:
    """How far he has left what he did before, where he is to keep it; one number, 0 where he is to keep nothing.

    Half the squared distance in standard deviations of the action: the divergence KL(before || now) of two policies
    of one spread.

    Args:
        brain: that acts.
        part: samples.
        mean: what it does, (B, n).
    """
    if part.before is None or part.keeps is None:
        return torch.zeros(())
    apart = (mean - part.before) * torch.exp(-brain.log_std.detach())
    return 0.5 * (part.keeps * apart.square().sum(-1)).mean()
