"""Every error Jack raises on purpose. Each builds its own message: what was given, what is allowed, what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


class JackError(Exception):
    """Root of all errors that are explained to a person instead of shown as a traceback."""


class UnknownNameError(JackError):
    """A name that is not in the list of valid names."""

    def __init__(self, kind: str, given: str, valid: Iterable[str]) -> None:
        names = list(valid)
        close = get_close_matches(given, names, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        super().__init__(f"There is no {kind} '{given}'.{hint} Valid: {', '.join(names)}.")


class ShapeError(JackError):
    """An array whose last dimension is not what the contract says."""

    def __init__(self, what: str, given: tuple[int, ...], expected: str) -> None:
        super().__init__(f"{what} has shape {given}; expected {expected}.")


class ContractError(JackError):
    """A contract that contradicts itself, or a text that is none."""


class ContractMismatchError(ContractError):
    """Two contracts that should be the same and are not."""

    def __init__(self, differences: list[str]) -> None:
        self.differences = differences
        super().__init__("The contracts differ: " + "; ".join(differences) + ".")


class MessageError(JackError):
    """A ROS message that does not carry what the contract needs."""


class NonFiniteError(MessageError):
    """A message with a number that is not finite: the sensor is broken, or what computed it."""


class PolicyError(JackError):
    """A policy file that must not drive a robot."""
