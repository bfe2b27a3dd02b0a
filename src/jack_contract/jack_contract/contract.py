"""The contract: everything that trainer, policy file and robot must agree on, as one value with a digest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from jack_contract.action import ActionSpec, default_action
from jack_contract.errors import ContractError, ContractMismatchError, UnknownNameError
from jack_contract.gait import GaitSpec, default_gait
from jack_contract.observation import ObservationSpec, Term, default_observation
from jack_contract.robot import RobotSpec, load_robot

#: Raised when the meaning of a field changes without its name.
VERSION = 3

#: A contract's JSON is some kilobytes; a longer text is refused unread.
MAX_JSON_BYTES = 1_000_000


@dataclass(frozen=True)
class CameraSpec:
    """The picture a policy sees: RGB, rows from the top."""

    width: int = 64
    height: int = 64


@dataclass(frozen=True)
class InstructionSpec:
    """The sentence a policy reads: so many tokens at most, out of so many."""

    length: int = 16
    vocabulary: int = 512


@dataclass(frozen=True)
class Contract:
    """Robot, observation, action, gait and the shapes of the other modalities."""

    robot: RobotSpec
    observation: ObservationSpec
    action: ActionSpec
    gait: GaitSpec
    camera: CameraSpec = CameraSpec()
    instruction: InstructionSpec = InstructionSpec()

    def __post_init__(self) -> None:
        if len(self.action.scale) != self.robot.count:
            raise ContractError(
                f"{len(self.action.scale)} action scales for the {self.robot.count} joints of '{self.robot.name}'."
            )
        if len(self.gait.swing) != self.robot.count:
            raise ContractError(
                f"{len(self.gait.swing)} gait offsets for the {self.robot.count} joints of '{self.robot.name}'."
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return {"version": VERSION, **asdict(self)}

    def to_json(self) -> str:
        """Canonical text: keys sorted, every float with all its digits, no white space."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), allow_nan=False)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical text, hexadecimal."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @classmethod
    def from_json(cls, text: str) -> Contract:
        """The contract of a text that `to_json` wrote.

        Raises:
            ContractError: not such a text; says why.
        """
        if len(text) > MAX_JSON_BYTES:
            raise ContractError(f"A contract has at most {MAX_JSON_BYTES} characters, given: {len(text)}.")
        try:
            contract = cls._from_dict(json.loads(text))
            contract.to_json()  # Python's json reads infinities, which are no JSON
        except UnknownNameError as error:
            raise ContractError(f"Not a contract: {error}") from error
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise ContractError(f"Not a contract: {type(error).__name__} {error}.") from error
        return contract

    @classmethod
    def _from_dict(cls, data: dict[str, Any]) -> Contract:
        data = dict(data)
        version = data.pop("version")
        if version != VERSION:
            raise ContractError(f"Contract version {version!r}; this Jack reads version {VERSION}.")
        observation = dict(data.pop("observation"))
        terms = tuple(Term(**term) for term in observation.pop("terms"))
        gait = dict(data.pop("gait"))
        return cls(
            robot=RobotSpec.from_dict(data.pop("robot")),
            observation=ObservationSpec(terms=terms, **observation),
            action=ActionSpec(tuple(data.pop("action")["scale"])),
            gait=GaitSpec(swing=tuple(gait.pop("swing")), stride=tuple(map(tuple, gait.pop("stride"))), **gait),
            camera=CameraSpec(**data.pop("camera")),
            instruction=InstructionSpec(**data.pop("instruction")),
            **data,
        )

    def diff(self, other: Contract) -> list[str]:
        """The differences in words, 'path: mine != theirs'; empty when the contracts are the same."""
        return list(_differences("", self.to_dict(), other.to_dict()))

    def require_same(self, other: Contract) -> None:
        """Raise a ContractMismatchError that names every difference, unless the contracts are the same."""
        if self.digest != other.digest:
            raise ContractMismatchError(self.diff(other))


def _differences(path: str, mine: Any, theirs: Any) -> list[str]:  # noqa: ANN401 - any JSON value
    if isinstance(mine, dict) and isinstance(theirs, dict):
        keys = [*mine, *(key for key in theirs if key not in mine)]
        return [d for k in keys for d in _differences(f"{path}.{k}".lstrip("."), mine.get(k), theirs.get(k))]
    if isinstance(mine, list | tuple) and isinstance(theirs, list | tuple) and len(mine) == len(theirs):
        labels = [_label(index, item) for index, item in enumerate(mine)]
        triples = zip(labels, mine, theirs, strict=True)
        return [d for label, m, t in triples for d in _differences(f"{path}[{label}]", m, t)]
    same = repr(mine) == repr(theirs)  # JSON tells 3 from 3.0 and 0.0 from -0.0, and so does the digest
    return [] if same else [f"{path}: {_short(mine)} != {_short(theirs)}"]


def _label(index: int, item: Any) -> str:  # noqa: ANN401
    return str(item["name"]) if isinstance(item, dict) and "name" in item else str(index)


def _short(value: Any) -> str:  # noqa: ANN401
    text = f"{len(value)} entries" if isinstance(value, list | tuple) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def default_contract(robot: str = "jack") -> Contract:
    """The contract of a robot that ships with Jack."""
    spec = load_robot(robot)
    return contract_for(spec)


def contract_for(robot: RobotSpec) -> Contract:
    """Jack's observation, action and gait on a given robot."""
    return Contract(robot, default_observation(robot), default_action(robot), default_gait(robot))
