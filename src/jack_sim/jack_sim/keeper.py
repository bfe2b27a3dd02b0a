"""When Jack hangs and when he stands: decides, step by step, what the gantry does, as a person beside it would."""

from __future__ import annotations

from typing import Protocol

from jack_sim.gantry import GantryMode

#: For so long a policy must have had the body before he is let down [s].
SETTLE = 1.0
#: For so long he hangs after a fall before the policy that fell is tried again [s].
PAUSE = 3.0


class Rope(Protocol):
    """What the keeper needs of a gantry."""

    @property
    def mode(self) -> GantryMode:
        """What it is doing."""
        ...

    def lower(self) -> None:
        """Pay out rope until he carries himself, then let go."""
        ...

    def lift(self) -> None:
        """Pull him up until he hangs free."""
        ...


class Keeper:
    """Lets Jack down when a policy drives him, and picks him up when he falls."""

    def __init__(self, rope: Rope) -> None:
        """Watch over the robot on this rope; he hangs, or is about to be hung."""
        self._rope = rope
        self._mode = rope.mode
        self._since = 0.0  # when this mode began
        self._driven_since: float | None = None
        self._fell_with: str | None = None
        self._policy = ""
        #: how often he was picked up
        self.falls = 0

    @property
    def mode(self) -> GantryMode:
        """What the gantry is doing."""
        return self._rope.mode

    def standing(self, now: float) -> float:
        """For how long he has stood without the rope [s]."""
        return now - self._since if self._mode is GantryMode.RELEASED else 0.0

    def restart(self, now: float) -> None:
        """He was put back to his start."""
        self._mode, self._since = self._rope.mode, now
        self._driven_since = self._fell_with = None

    def watch(self, now: float, fallen: bool, driven: bool, policy: str = "") -> str | None:
        """Decide what the gantry does from here; call it after each step.

        Args:
            now: simulated time [s].
            fallen: whether he is down.
            driven: whether a policy has the body.
            policy: which one, any text that differs between two policies.

        Returns:
            What happened, for people; None while nothing does.
        """
        self._policy = policy or self._policy
        self._driven_since = (self._driven_since if self._driven_since is not None else now) if driven else None
        stood = self.standing(now)
        if self._rope.mode is not self._mode:  # the rope arrived by itself, at the top or at the bottom
            self._enter(self._rope.mode, now)
            return "Jack stands on his own feet" if self._mode is GantryMode.RELEASED else None
        if self._mode is GantryMode.HELD and self._may_go(now):
            self._rope.lower()
            self._enter(self._rope.mode, now)
            return "Jack is let down"
        if self._mode is GantryMode.LOWERING and not driven:
            return self._pick_up(now, "Nobody drives Jack any more; he is pulled up again")
        if self._mode in (GantryMode.LOWERING, GantryMode.RELEASED) and fallen:
            self.falls += 1
            lowering = self._mode is GantryMode.LOWERING
            return self._pick_up(
                now, "Jack did not carry himself; lifted" if lowering else f"Jack fell after {stood:.1f} s; lifted"
            )
        return None

    def wants_reset(self, now: float) -> bool:
        """Whether he hangs quietly after a fall, and the fault that his brain saw in it may be cleared."""
        return self._mode is GantryMode.HELD and self._fell_with is not None and now - self._since >= PAUSE

    def _may_go(self, now: float) -> bool:
        if self._driven_since is None or now - self._driven_since < SETTLE:
            return False
        return self._fell_with != self._policy or now - self._since >= PAUSE

    def _pick_up(self, now: float, why: str) -> str:
        self._rope.lift()
        self._enter(self._rope.mode, now)
        self._fell_with = self._policy
        return why

    def _enter(self, mode: GantryMode, now: float) -> None:
        self._mode, self._since = mode, now
