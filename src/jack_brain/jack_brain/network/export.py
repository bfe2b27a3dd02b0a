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
from jack_brain.network.chunk_heads import TokenChunk
from jack_brain.network.trunk import pack, unpack
from jack_brain.policy_file import (
    ACTION,
    ATTENTION,
    CHUNK,
    COMMAND,
    IMAGE,
    INSTRUCTION,
    PAST,
    PREFIX,
    PROGRESS,
    PROPRIOCEPTION,
    VALUE,
)
from jack_contract.errors import PolicyError
from jack_contract.observation import COMMAND_SIZE

#: ONNX operator set of the files: the newest that the exporter translates to natively.
OPSET = 23


class PolicyExporter:
    """Exports one brain again and again as it learns: traced once (seconds), then only the weights are replaced."""

    def __init__(self, brain: Brain, *, command: bool = False, value: bool = True) -> None:
        """Trace a brain.

        Args:
            brain: may be trained on meanwhile; each export takes its weights as they are then. One that makes
                chunks becomes one file with two graphs in it, which share their weights: a picture and a sentence
                to a prefix, and the tick.
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
        if brain.chunk_head is not None:
            if not command:
                raise PolicyError("A brain that makes chunks is exported with commands: his legs follow them.")
            self.inputs += [INSTRUCTION, IMAGE, PAST]
            self.outputs += [CHUNK, PROGRESS, PREFIX, ATTENTION]

    def forward(
        self,
        proprioception: Tensor,
        command: Tensor | None = None,
        instruction: Tensor | None = None,
        image: Tensor | None = None,
        past: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        output = self.brain(Inputs(proprioception, command), value=VALUE in self.outputs)
        answers = [output.mean]
        if output.value is not None:
            answers.append(self.brain.value_normaliser.restore(output.value))
        if self.brain.chunk_head is not None and past is not None:
            answer = self.brain.reach(proprioception, unpack(past, self.brain.size.heads))
            answers += [*self.brain.chunk_head(answer), *self.look(instruction, image)]
        return tuple(answers)

    def look(self, instruction: Tensor | None, image: Tensor | None) -> tuple[Tensor, Tensor]:
        """What sentences and pictures leave for later ticks, packed, and where they point, (B, rows, columns)."""
        memory, scores = self.brain.look(instruction, image)
        assert memory is not None and scores is not None
        return pack(memory), scores[:, 0].softmax(-1).unflatten(-1, self.brain.image.grid)

    @torch.no_grad()
    def examples(self, count: int) -> tuple[Tensor, ...]:
        """Inputs as the brain met them: frames around their running mean, each with its own spread."""
        generator = torch.Generator().manual_seed(0)
        contract, normaliser = self.brain.contract, self.brain.normaliser
        observation, words, camera = contract.observation, contract.instruction, contract.camera
        noise = torch.randn(count, observation.history, observation.frame_size, generator=generator)
        command = torch.rand(count, COMMAND_SIZE, generator=generator) * 2 - 1
        found = {PROPRIOCEPTION: normaliser.mean + noise * normaliser.var.sqrt(), COMMAND: command}
        if PAST in self.inputs:
            sentence = torch.randint(0, words.vocabulary, (count, words.length), generator=generator)
            shape = (count, 3, camera.height, camera.width)
            picture = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
            past, _ = self.look(sentence, picture)
            found |= {INSTRUCTION: sentence, IMAGE: picture, PAST: past}
        return tuple(found[name] for name in self.inputs)


@torch.no_grad()
def _golden(graph: _PolicyGraph) -> Golden:
    inputs = _clearest(graph, MIN_COUNT)
    arrays = zip([*graph.inputs, *graph.outputs], [*inputs, *graph(*inputs)], strict=True)
    found = {name: tensor.numpy() for name, tensor in arrays}
    told = (found.get(name) for name in (COMMAND, ACTION, VALUE, INSTRUCTION, IMAGE, CHUNK))
    return Golden(found[PROPRIOCEPTION], *told)  # type: ignore[arg-type] - there is always an action


def _clearest(graph: _PolicyGraph, count: int) -> tuple[Tensor, ...]:
    """Examples; of many those whose tokens are least in doubt, for another machine rounds otherwise."""
    head = graph.brain.chunk_head
    if not isinstance(head, TokenChunk):
        return graph.examples(count)
    inputs = graph.examples(4 * count)
    found = dict(zip(graph.inputs, inputs, strict=True))
    answer = graph.brain.reach(found[PROPRIOCEPTION], unpack(found[PAST], graph.brain.size.heads))
    best = head.logits(head.norm(answer.squeeze(1))).topk(2, dim=-1).values
    clear = (best[..., 0] - best[..., 1]).amin(dim=-1).topk(count).indices
    return tuple(tensor[clear] for tensor in inputs)


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
