"""Tiny ONNX files for tests, encoded by hand: the `onnx` package is no dependency."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy.typing as npt

from tracker.runtime import TensorInfo

# TensorProto.DataType
_DATA_TYPES = {
    "float32": 1, "uint8": 2, "int8": 3, "uint16": 4, "int32": 6, "int64": 7, "bool": 9,
    "float16": 10, "float64": 11,
}  # fmt: skip
_INT_ATTRIBUTE = 2
_IR_VERSION = 8
_OPSET = 17


@dataclass(frozen=True)
class Node:
    """An operator: its type, the names of what it reads, the name it writes, and its integer attributes."""

    op_type: str
    inputs: Sequence[str]
    output: str
    attributes: Mapping[str, int] = field(default_factory=dict)


def write_constant_graph(
    path: Path,
    inputs: Iterable[TensorInfo],
    outputs: Mapping[str, npt.NDArray[Any]],
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """A network that gives the same arrays whatever goes in; returns the path."""
    return write_graph(
        path,
        inputs,
        [TensorInfo(name, array.shape, array.dtype.name) for name, array in outputs.items()],
        nodes=[Node("Identity", [f"{name}_value"], name) for name in outputs],
        constants={f"{name}_value": array for name, array in outputs.items()},
        metadata=metadata,
    )


def write_graph(
    path: Path,
    inputs: Iterable[TensorInfo],
    outputs: Iterable[TensorInfo],
    *,
    nodes: Iterable[Node],
    constants: Mapping[str, npt.NDArray[Any]] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """A network of the given operators; returns the path. A size of None is left open."""
    graph = [
        *(_message(1, _node(node)) for node in nodes),
        _text(2, "test"),
        *(_message(5, _tensor(name, array)) for name, array in (constants or {}).items()),
        *(_message(11, _value(info)) for info in inputs),
        *(_message(12, _value(info)) for info in outputs),
    ]
    model = [
        _number(1, _IR_VERSION),
        _message(7, graph),
        _message(8, [_text(1, ""), _number(2, _OPSET)]),
        *(_message(14, [_text(1, key), _text(2, value)]) for key, value in (metadata or {}).items()),
    ]
    path.write_bytes(b"".join(model))
    return path


def _node(node: Node) -> list[bytes]:
    attributes = (
        [_text(1, name), _number(3, value), _number(20, _INT_ATTRIBUTE)] for name, value in node.attributes.items()
    )
    return [
        *(_text(1, name) for name in node.inputs),
        _text(2, node.output),
        _text(4, node.op_type),
        *(_message(5, attribute) for attribute in attributes),
    ]


def _tensor(name: str, array: npt.NDArray[Any]) -> list[bytes]:
    little_endian = array.astype(array.dtype.newbyteorder("<"))
    return [
        *(_number(1, size) for size in array.shape),
        _number(2, _DATA_TYPES[array.dtype.name]),
        _text(8, name),
        _bytes(9, little_endian.tobytes()),
    ]


def _value(info: TensorInfo) -> list[bytes]:
    sizes = (
        _text(2, f"{info.name}_{axis}") if size is None else _number(1, size) for axis, size in enumerate(info.shape)
    )
    shape = [_message(1, [size]) for size in sizes]
    tensor_type = [_number(1, _DATA_TYPES[info.dtype]), _message(2, shape)]
    return [_text(1, info.name), _message(2, [_message(1, tensor_type)])]


def _number(tag: int, value: int) -> bytes:
    return _varint(tag << 3) + _varint(value)


def _text(tag: int, text: str) -> bytes:
    return _bytes(tag, text.encode())


def _message(tag: int, parts: Iterable[bytes]) -> bytes:
    return _bytes(tag, b"".join(parts))


def _bytes(tag: int, payload: bytes) -> bytes:
    return _varint(tag << 3 | 2) + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
