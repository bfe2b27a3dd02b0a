"""The policy file as bytes: metadata, seal, and what its graph contains, read without running any of it.

An ONNX file is one protobuf message, and protobuf messages may be concatenated: the seal is one more metadata
entry, appended to the finished bytes, whose value is the SHA-256 of everything before it. It is checked first;
nothing is parsed that was damaged on the way. The few fields that matter are then read here, so that a robot needs
no onnx package (field numbers: onnx/onnx.proto, https://github.com/onnx/onnx).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator

from jack_contract.errors import PolicyError

#: Metadata keys.
CONTRACT, DIGEST, PROVENANCE, GOLDEN = "jack.contract", "jack.contract_digest", "jack.provenance", "jack.golden"
#: Key of the seal.
SEAL = b"jack.sha256"
#: Names of the graph's inputs and outputs.
PROPRIOCEPTION, COMMAND, ACTION, VALUE = "proprioception", "command", "action", "value"
#: Those of a brain that follows sentences. A picture and a sentence give a prefix, the keys and values that later
#: ticks read as their past, and where in the picture the sentence points.
INSTRUCTION, IMAGE, PREFIX, ATTENTION = "instruction", "image", "prefix", "attention"
PAST, CHUNK, PROGRESS = "past", "chunk", "progress"

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MODEL_GRAPH, _MODEL_METADATA = 7, 14
#: Fields of a model: training graphs, model-local functions.
_MODEL_FORBIDDEN = {20: "training graphs", 25: "functions"}
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT, _GRAPH_SPARSE = 1, 5, 11, 12, 15
#: Name of each part of a graph that has one which others refer to.
_NAME_OF = {_GRAPH_INITIALIZER: 8, _GRAPH_INPUT: 1, _GRAPH_OUTPUT: 1}
_NODE_INPUT, _NODE_OUTPUT, _NODE_ATTRIBUTE, _NODE_DOMAIN = 1, 2, 5, 7
#: Fields of an attribute: one tensor or several, one graph or several.
_ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS = (5, 10), (6, 11)
_TENSOR_EXTERNAL, _TENSOR_LOCATION = 13, 14
_STANDARD_DOMAINS = (b"", b"ai.onnx")


def _seal_of(digest: bytes) -> bytes:
    """The metadata entry as protobuf bytes: field 14 of the model, with key (1) and value (2)."""
    entry = b"\x0a" + bytes([len(SEAL)]) + SEAL + b"\x12" + bytes([len(digest)]) + digest
    return bytes([_MODEL_METADATA << 3 | _BYTES, len(entry)]) + entry


SEAL_SIZE = len(_seal_of(b"0" * 64))


def seal(model: bytes) -> bytes:
    """The file of a serialised model: the model and its digest."""
    return model + _seal_of(hashlib.sha256(model).hexdigest().encode())


def require_sealed(file: bytes) -> None:
    """Raise a PolicyError unless the file is, to the last bit, what was sealed."""
    body, end = file[:-SEAL_SIZE], file[-SEAL_SIZE:]
    if not body or not end.startswith(_seal_of(b"0" * 64)[:-64]):
        raise PolicyError("The file does not end in a jack.sha256 entry: it is cut off, or no policy of Jack's.")
    if end != _seal_of(hashlib.sha256(body).hexdigest().encode()):
        raise PolicyError("The file is damaged: its SHA-256 is not the one it was sealed with.")


def read_metadata(file: bytes) -> dict[str, str]:
    """Read a file's metadata, and look through its graph.

    Raises:
        PolicyError: not an ONNX model, or one with parts that no policy of Jack's has: external data, operators of
            other domains, sub-graphs (and with them loops), functions, training graphs.
    """
    try:
        return _read_model(memoryview(file))
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise PolicyError(f"The file is not an ONNX model: {error}.") from error


def _read_model(file: memoryview) -> dict[str, str]:
    metadata: dict[str, str] = {}
    graphs = 0
    for number, payload in _fields(file):
        if number in _MODEL_FORBIDDEN:
            raise PolicyError(f"The model has {_MODEL_FORBIDDEN[number]}; a policy has none.")
        if number == _MODEL_METADATA:
            _read_entry(payload, metadata)
        if number == _MODEL_GRAPH:
            graphs += 1
            _check_graph(payload)
    if graphs != 1:
        raise PolicyError(f"The model has {graphs} graphs; a policy has one.")
    return metadata


def _read_entry(entry: memoryview, metadata: dict[str, str]) -> None:
    parts = {number: bytes(payload).decode() for number, payload in _fields(entry)}
    key = parts.get(1, "")
    if key in metadata:
        raise PolicyError(f"The metadata entry '{key}' is there twice.")
    metadata[key] = parts.get(2, "")


def _check_graph(graph: memoryview) -> None:
    for number, payload in _fields(graph):
        if number == _GRAPH_NODE:
            _check_node(payload)
        if number == _GRAPH_INITIALIZER:
            _require_inside(payload)
        if number == _GRAPH_SPARSE:
            raise PolicyError("The graph has sparse weights; a policy has none.")


def _check_node(node: memoryview) -> None:
    for number, payload in _fields(node):
        if number == _NODE_DOMAIN and bytes(payload) not in _STANDARD_DOMAINS:
            raise PolicyError(
                f"The graph uses operators of '{bytes(payload).decode()}'; allowed: standard ONNX only."
            )
        if number == _NODE_ATTRIBUTE:
            _check_attribute(payload)


def _check_attribute(attribute: memoryview) -> None:
    for number, payload in _fields(attribute):
        if number in _ATTRIBUTE_GRAPHS:
            raise PolicyError("The graph has sub-graphs (If, Loop, Scan); a policy has none.")
        if number in _ATTRIBUTE_TENSORS:
            _require_inside(payload)


def _require_inside(tensor: memoryview) -> None:
    if any(number in (_TENSOR_EXTERNAL, _TENSOR_LOCATION) for number, _ in _fields(tensor)):
        raise PolicyError("The graph keeps weights outside the file; a policy is one file.")


def ports(file: bytes) -> tuple[list[str], list[str]]:
    """Names of a file's inputs and outputs."""
    found: dict[int, list[str]] = {_GRAPH_INPUT: [], _GRAPH_OUTPUT: []}
    graph = next(payload for number, payload in _fields(memoryview(file)) if number == _MODEL_GRAPH)
    for number, payload in _fields(graph):
        if number in found:
            found[number] += [name.decode(errors="replace") for name in _names(payload, _NAME_OF[number])]
    return found[_GRAPH_INPUT], found[_GRAPH_OUTPUT]


def part(file: bytes, outputs: Collection[str]) -> bytes:
    """The model of a file that computes some of its outputs: only the nodes, weights and inputs that they need."""
    model = b""
    for number, payload, raw in _spans(memoryview(file)):
        model += _with_bytes(number, _part(payload, outputs)) if number == _MODEL_GRAPH else bytes(raw)
    return model


def _part(graph: memoryview, outputs: Collection[str]) -> bytes:
    spans = list(_spans(graph))
    needed = {name.encode() for name in outputs}
    kept = set[int]()
    for index in reversed(range(len(spans))):  # a node comes after those that it reads from
        number, payload, _ = spans[index]
        if number == _GRAPH_NODE and needed & set(_names(payload, _NODE_OUTPUT)):
            needed |= set(_names(payload, _NODE_INPUT))
            kept.add(index)
    for index, (number, payload, _) in enumerate(spans):
        wanted = {name.encode() for name in outputs} if number == _GRAPH_OUTPUT else needed
        if number != _GRAPH_NODE and (number not in _NAME_OF or wanted & set(_names(payload, _NAME_OF[number]))):
            kept.add(index)
    return b"".join(bytes(raw) for index, (_, _, raw) in enumerate(spans) if index in kept)


def _names(message: memoryview, field: int) -> list[bytes]:
    return [bytes(payload) for number, payload in _fields(message) if number == field]


def _with_bytes(number: int, payload: bytes) -> bytes:
    """A protobuf field of bytes."""
    return _as_varint(number << 3 | _BYTES) + _as_varint(len(payload)) + payload


def _as_varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The fields of a protobuf message; numbers carry an empty payload (none of ours matters)."""
    return ((number, payload) for number, payload, _ in _spans(message))


def _spans(message: memoryview) -> Iterator[tuple[int, memoryview, memoryview]]:
    """Number, payload and all bytes of each field."""
    position, end = 0, len(message)
    while position < end:
        begun = position
        tag, position = _varint(message, position)
        kind, size = tag & 7, 0
        if kind == _VARINT:
            _, position = _varint(message, position)
        elif kind == _BYTES:
            size, position = _varint(message, position)
        elif kind in (_FIXED64, _FIXED32):
            position += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"field of unknown kind {kind} at byte {position}")
        if position + size > end:
            raise ValueError(f"a field ends {position + size - end} bytes behind the end")
        yield tag >> 3, message[position : position + size], message[begun : position + size]
        position += size


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError(f"a number without an end at byte {position}")
