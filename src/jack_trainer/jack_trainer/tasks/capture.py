"""Where feet must be so that nobody falls: the capture point of the linear inverted pendulum.

A body at height z falls away from its feet with time constant sqrt(z / g); its capture point is x + v sqrt(z / g)
(Pratt et al. 2006; Hof's extrapolated centre of mass). Feet around it bring the body to rest, and a step that keeps
a certain distance from it goes on for ever (Hof 2008, "The 'extrapolated center of mass' concept suggests a simple
control of balance in walking").
"""

from __future__ import annotations

import numpy as np

from jack_contract.arrays import Array, Float64
from jack_contract.gait import GaitSpec, Rhythm
from jack_contract.rotation import turned
from jack_sim.batch import Truth

#: [m/s^2]
GRAVITY = 9.81
#: Jack's own time constant [s], and how far apart his feet are [m].
_TAU, _STANCE = 0.26, 0.2
#: A foot lands no nearer to the other one than this, sideways [m]: soles are 0.1 m wide, and legs do not pass
#: through each other. Who is pushed over his standing foot has to step there with the next one.
APART = 0.13


def standing_point(truth: Truth, height: Array) -> Float64:
    """Where the feet would have to be to bring him to rest.

    Args:
        truth: of N robots.
        height: pelvis over the lower foot, (N,) [m].

    Returns:
        The capture point, seen from the middle between his feet, heading frame, (N, 2) [m].
    """
    return _capture_point(truth, height, truth.feet.mean(axis=1))


def landing_error(truth: Truth, height: Array, gait: GaitSpec, rhythm: Rhythm) -> Float64:
    """How far the swinging foot is from where it must land to go on at the gait's pace.

    Until the step ends at T the capture point runs away from the standing foot: xi_T = xi e^((T - t) / tau). The
    next foot belongs behind where it will be, and outside of it, see `landing_margins`.

    Args:
        truth: of N robots.
        height: pelvis over the lower foot, (N,) [m].
        gait: whose steps they are.
        rhythm: of the N robots; the left foot swings in the first half.

    Returns:
        Horizontal distance, (N,) [m].
    """
    robots, left = np.arange(len(height)), rhythm.phase < 0.5
    swinging, standing = (truth.feet[robots, np.where(left, a, b)] for a, b in ((0, 1), (1, 0)))
    cycle = gait.cycle(rhythm.pace)
    ahead, outside = landing_margins(cycle)
    remaining = cycle * (0.5 - rhythm.phase % 0.5)
    grown = np.exp(remaining * np.sqrt(GRAVITY / np.maximum(height, 0.1)))
    landing = _capture_point(truth, height, standing) * grown[:, None] - ahead[..., None] * rhythm.pace[:, :2]
    side = np.where(left, 1.0, -1.0)
    landing[:, 1] = side * np.maximum(side * landing[:, 1] + outside, APART)
    return np.linalg.norm(_heading_frame(truth, swinging - standing) - landing, axis=-1)


def landing_margins(period: Array | float) -> tuple[Float64, Float64]:
    """Where a foot lands that goes on for ever at a beat, for point feet (Hof 2008).

    T / (e^(T / tau) - 1) and 0.2 m / (e^(T / tau) + 1), T half a cycle and tau the time constant of the fall; at
    0.52 s 0.15 s and 0.054 m. Whoever learns to walk without being told lands further out and behind (0.31 s,
    0.15 m), and falls more.

    Args:
        period: duration of a cycle, (...,) [s].

    Returns:
        How far the capture point is ahead of the foot, for each m/s [s], and inside of it [m], (...,) each.
    """
    step = np.asarray(period) / 2
    grown = np.exp(step / _TAU)
    return step / (grown - 1), _STANCE / (grown + 1)


def _capture_point(truth: Truth, height: Array, origin: Array) -> Float64:
    """Seen from a point (N, 3) in world, in the heading frame, (N, 2) [m]."""
    pendulum = np.sqrt(np.maximum(height, 0.0) / GRAVITY)
    return _heading_frame(truth, truth.centre_of_mass + truth.world_velocity * pendulum[:, None] - origin)


def _heading_frame(truth: Truth, vector: Array) -> Float64:
    """World to heading frame, (N, 3) -> (N, 2)."""
    return turned(vector[:, :2], -truth.heading)
