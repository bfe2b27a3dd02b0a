"""From one brain to another that sees or feels more: what was learnt is kept, what is new begins, and it is told.

Tensors go by their names; where the contracts differ in what is observed, the columns of those that read a frame go
by the names of its terms. New columns begin as zeros: who was given a sense that he never had acts as before until
he learns to use it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from jack_brain.network.brain import Brain
from jack_contract.contract import Contract
from jack_contract.errors import JackError

#: Tensors with a number for each number of a frame, the last dimension: (..., D) ...
_BY_FRAME = ("normaliser.mean", "normaliser.var")
#: ... or for what is felt, K times as many one after the other, and maybe others behind: (..., K * D + R).
_BY_FELT = (
    "proprioception.linear.weight",
    "action_head.hidden.0.weight",
    "value_head.hidden.0.weight",
    "chunk_head.hidden.weight",
    "chunk_head.place.weight",
    "chunk_head.progress.weight",
)
#: Those of the mirror say how a body is made, and of the means how a history is read: nobody learnt them.
_MADE = ("symmetry.", "proprioception.means", "pointer.places", "chunk_head.reads")
#: Not to have them is to have none.
_HABITS = "habit."


@dataclass
class MergeReport:
    """What became of each tensor, and of each term of the observation."""

    #: as they were
    kept: list[str] = field(default_factory=list)
    #: as they were, but for the columns of other terms
    fitted: list[str] = field(default_factory=list)
    #: begin
    new: list[str] = field(default_factory=list)
    #: were there, and have no place any more
    dropped: list[str] = field(default_factory=list)
    #: of the observation
    terms_kept: list[str] = field(default_factory=list)
    terms_new: list[str] = field(default_factory=list)
    terms_dropped: list[str] = field(default_factory=list)

    @property
    def changes(self) -> bool:
        """Whether anything is not as it was."""
        return bool(self.fitted or self.new or self.dropped or self.terms_new or self.terms_dropped)

    def __str__(self) -> str:
        """A line for each kind, with modules; of those whose tensors did not all fare alike, with how many."""
        kinds = {
            "kept": self.kept,
            "fitted to the new observation": self.fitted,
            "new": self.new,
            "dropped": self.dropped,
        }
        whole = Counter(_module(name) for name in {name for names in kinds.values() for name in names})
        lines = [f"{words}: {', '.join(_shortened(names, whole)) or 'nothing'}" for words, names in kinds.items()]
        if self.terms_new or self.terms_dropped:
            new, dropped = ", ".join(self.terms_new) or "none", ", ".join(self.terms_dropped) or "none"
            lines.append(f"observation: kept {', '.join(self.terms_kept)}; new {new}; dropped {dropped}")
        return "\n".join(lines)


def merge(brain: Brain, tensors: Mapping[str, Tensor], contract: Contract | None = None) -> MergeReport:
    """Give a new brain what another one learnt.

    Args:
        brain: as it begins; its tensors are overwritten where the other's fit.
        tensors: of the other brain, as `state_dict` names them.
        contract: of the other brain; None: the same.

    Returns:
        What was kept, is new, and was dropped.

    Raises:
        JackError: the other is of another size, or of a robot with other joints: nothing of it would mean the same.
    """
    contract = contract or brain.contract
    _require_alike(brain, tensors, contract)
    report, own = MergeReport(), brain.state_dict()
    _compare_terms(brain.contract, contract, report)
    columns, theirs = _columns(brain.contract, contract), contract.observation.frame_size
    means = len(brain.proprioception.means)
    fits = not (report.terms_new or report.terms_dropped) and _ordered(columns)
    merged: dict[str, Tensor] = {}
    for name, begins in own.items():
        given = tensors.get(name)
        if given is None and name.startswith(_HABITS):
            merged[name] = begins
        elif given is None or name.startswith(_MADE):
            merged[name] = begins
            (report.kept if name.startswith(_MADE) and name in tensors else report.new).append(name)
        elif name in _BY_FRAME and not fits:
            merged[name] = _fitted(begins, given, columns)
            report.fitted.append(name)
        elif name in _BY_FELT and not fits:
            felt = [None if c is None else k * theirs + c for k in range(means) for c in columns]
            behind = range(means * theirs, given.shape[-1])
            merged[name] = _fitted(torch.zeros_like(begins), given, [*felt, *behind])
            report.fitted.append(name)
        elif given.shape == begins.shape:
            merged[name] = given
            report.kept.append(name)
        else:  # a camera or a vocabulary of another size: what reads it begins anew
            merged[name] = begins
            report.new.append(name)
            report.dropped.append(name)
    report.dropped += [name for name in tensors if name not in own]
    brain.load_state_dict(merged)
    return report


def _require_alike(brain: Brain, tensors: Mapping[str, Tensor], contract: Contract) -> None:
    own = brain.contract.robot
    if own.joint_names != contract.robot.joint_names:
        raise JackError(
            f"A brain of '{contract.robot.name}' cannot become one of '{own.name}': their joints are not the same."
        )
    trunk = {name: tensor.shape for name, tensor in brain.state_dict().items() if name.startswith("trunk.")}
    theirs = {name: tensor.shape for name, tensor in tensors.items() if name.startswith("trunk.")}
    if trunk != theirs:
        raise JackError("The brain to begin with is of another size; add --brain to match.")
    history = brain.contract.observation.history
    if history != contract.observation.history:
        raise JackError(
            f"The brain to begin with reads {contract.observation.history} frames, this one {history}: what it "
            "learnt of the one is of no use for the other."
        )


def _compare_terms(own: Contract, theirs: Contract, report: MergeReport) -> None:
    mine = {term.name: (term.size, term.scale) for term in own.observation.terms}
    old = {term.name: (term.size, term.scale) for term in theirs.observation.terms}
    report.terms_kept = [name for name in mine if old.get(name) == mine[name]]
    report.terms_new = [name for name in mine if name not in report.terms_kept]
    report.terms_dropped = [name for name in old if name not in report.terms_kept]


def _columns(own: Contract, theirs: Contract) -> list[int | None]:
    """For each number of a frame, which of the other's it is; None: it was not there."""
    mine, old = own.observation.slices(), theirs.observation.slices()
    same = {(term.name, term.size, term.scale) for term in theirs.observation.terms}
    columns: list[int | None] = []
    for term in own.observation.terms:
        there = (term.name, term.size, term.scale) in same
        size = mine[term.name].stop - mine[term.name].start
        columns += [old[term.name].start + index if there else None for index in range(size)]
    return columns


def _ordered(columns: list[int | None]) -> bool:
    return columns == list(range(len(columns)))


def _fitted(begins: Tensor, given: Tensor, columns: list[int | None]) -> Tensor:
    """A tensor whose columns are those of the other, wherever they are now; new ones are as they begin."""
    result = begins.clone()
    for index, column in enumerate(columns):
        if column is not None:
            result[..., index] = given[..., column]
    return result


def _module(name: str) -> str:
    """The module that a tensor is in."""
    return name.split(".")[0]


def _shortened(names: list[str], whole: Mapping[str, int]) -> list[str]:
    """Names by the module that they are in, and how many of all of its tensors they are where they are not all."""
    found = Counter(map(_module, names))
    return [
        name if count == whole[name] else f"{name} ({count} of {whole[name]})"
        for name, count in sorted(found.items())
    ]
