"""A part of a policy's graph, ready to run: a session of ONNX Runtime with arrays of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from jack_brain.policy_file import IMAGE, INSTRUCTION
from jack_contract.arrays import Float32
from jack_contract.errors import PolicyError

#: Names with shapes, without the batch; None is whatever the graph has.
Shapes = Mapping[str, tuple[int, ...] | None]
#: Inputs that are no float32, and what ONNX calls them.
_KINDS: dict[str, tuple[type, str]] = {INSTRUCTION: (np.int64, "tensor(int64)"), IMAGE: (np.uint8, "tensor(uint8)")}
_USUAL = (np.float32, "tensor(float)")


class Graph:
    """For a batch of one: nothing is allocated when it runs. Not for two threads at once."""

    def __init__(self, model: bytes, inputs: Shapes, outputs: Shapes) -> None:
        """Load a model; a PolicyError says what is wrong with it."""
        self._session = _session(model)
        self._inputs = _arrays("inputs", self._session.get_inputs(), inputs)
        self._outputs = _arrays("outputs", self._session.get_outputs(), outputs)
        self._binding = self._session.io_binding()
        for name, array in self._inputs.items():
            self._binding.bind_input(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        for name, array in self._outputs.items():
            self._binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)

    def has(self, output: str) -> bool:
        """Whether it has an output of that name."""
        return output in self._outputs

    def shape(self, port: str) -> tuple[int, ...]:
        """Of an input or output, without the batch."""
        return (self._inputs | self._outputs)[port].shape[1:]

    def run(self, given: Mapping[str, NDArray[Any] | None]) -> dict[str, Float32]:
        """Run it on one row of each input; one that is None stays as it was, one that it does not have is ignored.

        Returns:
            The outputs, (1, ...) each, valid until the next run.
        """
        for name, array in given.items():
            if array is not None and name in self._inputs:
                self._inputs[name][0] = array
        self._session.run_with_iobinding(self._binding)
        return self._outputs


def _session(file: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # a tick must not wait for a thread pool
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors share no root but Exception
        raise PolicyError(f"ONNX Runtime cannot load the graph: {error}") from error


def _arrays(kind: str, given: Sequence[onnxruntime.NodeArg], expected: Shapes) -> dict[str, NDArray[Any]]:
    """Zeros for each port, if they are what is expected."""
    found = {port.name: (port.type, tuple(port.shape[1:])) for port in given}
    wanted = {}
    for name, shape in expected.items():
        own = found[name][1] if name in found else ()
        wanted[name] = (_KINDS.get(name, _USUAL)[1], shape if shape is not None else own)
    sizes = [size for _, shape in wanted.values() for size in shape]
    if found != wanted or any(isinstance(port.shape[0], int) for port in given) or not _whole(sizes):
        raise PolicyError(f"The graph's {kind} are {found}, with any batch size; expected: {wanted}.")
    return {name: np.zeros((1, *shape), _KINDS.get(name, _USUAL)[0]) for name, (_, shape) in wanted.items()}


def _whole(sizes: Sequence[int | str]) -> bool:
    return all(isinstance(size, int) and size > 0 for size in sizes)
