"""From a brain to one self-describing policy file (see policy_file.py for its form)."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from jack_brain import policy_file
from jack_brain.golden import MIN_COUNT, Golden
from jack_brain.network.brain import Brain, Inputs
from jack_brain.policy_file import ACTION, COMMAND, PROPRIOCEPTION, VALUE
from jack_contract.errors import PolicyError
from jack_contract.observation import COMMAND_SIZE

#: ONNX operator set of the files: the newest that the exporter translates to natively.
OPSET = 23


class PolicyExporter:
    """Exports one brain again and again as it learns: traced once (seconds), then only the weights are replaced."""

    def __init__(self, brain: Brain, *, command: bool = False, value: bool = True) -> None:
        """Trace a brain.

        Args:
            brain: may be trained on meanwhile; each export takes its weights as they are then.
            command: whether the policy reads the velocity command: as it was trained.
            value: whether the file can say what it expects.
        """
        self._graph = _PolicyGraph(brain, command, value)
        self._model = _trace(self._graph)
        self._weights = {w.name: w for w in self._model.graph.initializer}
        names = set(self._graph.state_dict())
        if unknown := set(self._weights) - names:
            raise PolicyError(f"The exporter made weights of its own that would never be updated: {unknown}.")

    def export(self, provenance: Mapping[str, Any]) -> bytes:
        """The policy file of the brain as it is now.

        Args:
            provenance: how it came about, as plain data for JSON; at least `phase` (str) and `step` (int).
        """
        state = self._graph.state_dict()
        for name, weight in self._weights.items():
            weight.raw_data = _bytes(state[name])
        contract = self._graph.brain.contract
        entries = {
            policy_file.CONTRACT: contract.to_json(),
            policy_file.DIGEST: contract.digest,
            policy_file.PROVENANCE: _provenance(provenance),
            policy_file.GOLDEN: _golden(self._graph).to_json(),
        }
        onnx.helper.set_model_props(self._model, entries)
        return policy_file.seal(self._model.SerializeToString(deterministic=True))


def _provenance(provenance: Mapping[str, Any]) -> str:
    if missing := {"phase", "step"} - set(provenance):
        raise PolicyError(f"A policy's provenance needs {', '.join(sorted(missing))}, given: {dict(provenance)}.")
    return json.dumps(dict(provenance), sort_keys=True)


class _PolicyGraph(nn.Module):
    """Tensors in, tensors out: what becomes the ONNX graph."""

    def __init__(self, brain: Brain, command: bool, value: bool) -> None:
        super().__init__()
        self.brain = brain
        self.inputs = [PROPRIOCEPTION, COMMAND] if command else [PROPRIOCEPTION]
        self.outputs = [ACTION, VALUE] if value else [ACTION]

    def forward(self, proprioception: Tensor, command: Tensor | None = None) -> tuple[Tensor, ...]:
        output = self.brain(Inputs(proprioception, command), value=VALUE in self.outputs)
        if output.value is None:
            return (output.mean,)
        return output.mean, self.brain.value_normaliser.restore(output.value)

    def examples(self, count: int) -> tuple[Tensor, ...]:
        """Inputs as the brain met them: frames around their running mean, each with its own spread."""
        generator = torch.Generator().manual_seed(0)
        observation, normaliser = self.brain.contract.observation, self.brain.normaliser
        noise = torch.randn(count, observation.history, observation.frame_size, generator=generator)
        command = torch.rand(count, COMMAND_SIZE, generator=generator) * 2 - 1
        return (normaliser.mean + noise * normaliser.var.sqrt(), command)[: len(self.inputs)]


@torch.no_grad()
def _golden(graph: _PolicyGraph) -> Golden:
    inputs = graph.examples(MIN_COUNT)
    arrays = zip([*graph.inputs, *graph.outputs], [*inputs, *graph(*inputs)], strict=True)
    found = {name: tensor.numpy() for name, tensor in arrays}
    return Golden(found[PROPRIOCEPTION], found.get(COMMAND), found[ACTION], found.get(VALUE))


def _bytes(tensor: Tensor) -> bytes:
    array = tensor.detach().cpu().numpy()
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()


def _trace(graph: _PolicyGraph) -> onnx.ModelProto:
    """The brain as an ONNX model, without optimisation: every weight stays there under its own name."""
    batch = torch.export.Dim("batch")
    with _quiet():
        program = torch.onnx.export(
            graph,
            graph.examples(2),
            input_names=graph.inputs,
            output_names=[f"graph.{name}" for name in graph.outputs],
            dynamic_shapes=tuple({0: batch} for _ in graph.inputs),
            opset_version=OPSET,
            optimize=False,
            verbose=False,
            dynamo=True,
        )
    assert program is not None
    model = program.model_proto
    _tidy(model, graph)
    onnx.checker.check_model(model, full_check=True)
    return model


def _tidy(model: onnx.ModelProto, graph: _PolicyGraph) -> None:
    """Number the intermediate values and drop the notes: they name source files of the trainer's machine."""
    names = {f"graph.{name}": name for name in graph.outputs}
    for node in model.graph.node:
        for output in node.output:
            names.setdefault(output, f"t{len(names)}")
    for index, node in enumerate(model.graph.node):
        node.name, node.doc_string = f"n{index}", ""
        node.ClearField("metadata_props")
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names[name] for name in node.output]
    for port in model.graph.output:
        port.name = names[port.name]
    for part in (*model.graph.input, *model.graph.output, *model.graph.initializer, model.graph, model):
        part.ClearField("metadata_props")
        part.doc_string = ""
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
