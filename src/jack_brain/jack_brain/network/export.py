"""From a brain to one self-describing policy file (see policy_file.py for its form)."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor

from jack_brain import policy_file
from jack_brain.golden import MIN_COUNT, Golden
from jack_brain.network.brain import Brain
from jack_brain.network.graphs import Part, clear_examples, parts_of
from jack_contract.errors import PolicyError

#: ONNX operator set of the files: the newest that the exporter translates to natively.
OPSET = 23


class PolicyExporter:
    """Exports one brain again and again as it learns: traced once (seconds), then only the weights are replaced."""

    def __init__(self, brain: Brain, *, command: bool = False, value: bool = True) -> None:
        """Trace a brain.

        Args:
            brain: may be trained on meanwhile; each export takes its weights as they are then. Of one that makes
                chunks the file has all graphs, see `parts_of`: looking at a picture, and what is done at a tick.
            command: whether the policy reads the velocity command: as it was trained.
            value: whether the file can say what it expects.
        """
        if brain.chunk_head is not None and not command:
            raise PolicyError("A brain that makes chunks is exported with commands: his legs follow them.")
        self._brain, self._parts = brain, parts_of(brain, command, value)
        self._model = _joined([_trace(part, f"{index or ''}") for index, part in enumerate(self._parts)])
        self._weights = {w.name: w for w in self._model.graph.initializer}
        names = set(self._parts[0].state_dict())
        if unknown := set(self._weights) - names:
            raise PolicyError(f"The exporter made weights of its own that would never be updated: {unknown}.")

    def export(self, provenance: Mapping[str, Any]) -> bytes:
        """The policy file of the brain as it is now.

        Args:
            provenance: how it came about, as plain data for JSON; at least `phase` (str) and `step` (int).
        """
        state = self._parts[0].state_dict()
        for name, weight in self._weights.items():
            weight.raw_data = _bytes(state[name])
        contract = self._brain.contract
        entries = {
            policy_file.CONTRACT: contract.to_json(),
            policy_file.DIGEST: contract.digest,
            policy_file.PROVENANCE: _provenance(provenance),
            policy_file.GOLDEN: _golden(self._brain, self._parts).to_json(),
        }
        onnx.helper.set_model_props(self._model, entries)
        return policy_file.seal(self._model.SerializeToString(deterministic=True))


def _provenance(provenance: Mapping[str, Any]) -> str:
    if missing := {"phase", "step"} - set(provenance):
        raise PolicyError(f"A policy's provenance needs {', '.join(sorted(missing))}, given: {dict(provenance)}.")
    return json.dumps(dict(provenance), sort_keys=True)


@torch.no_grad()
def _golden(brain: Brain, parts: Sequence[Part]) -> Golden:
    found = clear_examples(brain, MIN_COUNT)
    read = {name for part in parts for name in part.inputs}
    told = {name: tensor for name, tensor in found.items() if name in read}
    for part in parts:
        told |= zip(part.outputs, part(*(found[name] for name in part.inputs)), strict=True)
    return Golden(**{f.name: told[f.name].numpy() if f.name in told else None for f in fields(Golden)})  # type: ignore[arg-type]


def _bytes(tensor: Tensor) -> bytes:
    array = tensor.detach().cpu().numpy()
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()


def _trace(part: Part, mark: str) -> onnx.ModelProto:
    """A graph as an ONNX model, without optimisation: every weight stays there under its own name.

    Args:
        part: of a brain.
        mark: of the names of all that is computed on the way.
    """
    batch = torch.export.Dim("batch")
    with _quiet():
        program = torch.onnx.export(
            part,
            tuple(part.examples(2).values()),
            input_names=part.inputs,
            output_names=[f"graph.{name}" for name in part.outputs],
            dynamic_shapes=tuple({0: batch} for _ in part.inputs),
            opset_version=OPSET,
            optimize=False,
            verbose=False,
            dynamo=True,
        )
    assert program is not None
    model = program.model_proto
    _tidy(model, part, mark)
    onnx.checker.check_model(model, full_check=True)
    return model


def _joined(models: Sequence[onnx.ModelProto]) -> onnx.ModelProto:
    """One model of several that share names of weights and inputs, and no other."""
    whole, graph = models[0], models[0].graph
    for other in (model.graph for model in models[1:]):
        graph.node.extend(other.node)
        graph.output.extend(other.output)
        known = {entry.name for entry in (*graph.input, *graph.initializer)}
        graph.input.extend(port for port in other.input if port.name not in known)
        graph.initializer.extend(weight for weight in other.initializer if weight.name not in known)
    onnx.checker.check_model(whole, full_check=True)
    return whole


def _tidy(model: onnx.ModelProto, part: Part, mark: str) -> None:
    """Number the intermediate values and drop the notes: they name source files of the trainer's machine."""
    names = {f"graph.{name}": name for name in part.outputs}
    for node in model.graph.node:
        for output in node.output:
            names.setdefault(output, f"t{mark}.{len(names)}" if mark else f"t{len(names)}")
    for index, node in enumerate(model.graph.node):
        node.name, node.doc_string = f"n{mark}.{index}" if mark else f"n{index}", ""
        node.ClearField("metadata_props")
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names[name] for name in node.output]
    for port in model.graph.output:
        port.name = names[port.name]
    for entry in (*model.graph.input, *model.graph.output, *model.graph.initializer, model.graph, model):
        entry.ClearField("metadata_props")
        entry.doc_string = ""
    model.graph.ClearField("value_info")
    model.graph.name = "policy"


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter reports optional packages it does without; nobody who trains can do anything about it."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
