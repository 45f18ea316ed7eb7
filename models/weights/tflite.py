"""A reader of tflite files: the operators of the graph in their order, and every constant as a numpy array.

A tflite file is one flatbuffer. Field numbers and codes follow `schema.fbs` of TensorFlow Lite, and the
layout of tables and vectors "FlatBuffers internals" (https://flatbuffers.dev/internals).
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bodystream.errors import WeightsCorrupt


@dataclass(frozen=True, slots=True)
class Tensor:
    """A value of the graph; `data` is set where it is a constant (float16 and int8 weights as float32)."""

    name: str
    shape: tuple[int, ...]
    data: NDArray[Any] | None


@dataclass(frozen=True, slots=True)
class Operator:
    """One step of the graph; inputs and outputs are positions in `Graph.tensors`, -1 where left out."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Graph:
    """The first subgraph of a file."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read_tflite(path: Path) -> Graph:
    """Read a tflite file; DEQUANTIZE operators on constants are carried out and left away.

    Raises WeightsCorrupt where the file is cut short, is something else, or holds sparse weights.
    """
    data = path.read_bytes()
    if data[4:8] != b"TFL3":
        raise WeightsCorrupt(
            f"{path}: not a tflite file (expected the mark TFL3, found {data[4:8]!r}); fetch it again."
        )
    try:
        graph = _dequantized(_graph(_Table(data, _unpack("<I", data, 0))))
    except (struct.error, ValueError, IndexError, KeyError) as error:
        raise WeightsCorrupt(f"{path}: a damaged tflite file ({error}); fetch it again.") from error
    sparse = sum(operator.kind == "DENSIFY" for operator in graph.operators)
    if sparse:
        raise WeightsCorrupt(
            f"{path}: {sparse} sparse (DENSIFY) weights, which are not read; use a file with dense ones."
        )
    return graph


# Number of the table's field for each option that a network needs. SAME is padding 0, VALID 1.
_CONV = {"padding": 0, "stride_w": 1, "stride_h": 2, "activation": 3}
_KINDS: Mapping[int, tuple[str, Mapping[str, int]]] = {
    0: ("ADD", {"activation": 0}),
    3: ("CONV_2D", _CONV),
    4: ("DEPTHWISE_CONV_2D", _CONV | {"activation": 4, "depth_multiplier": 3}),
    6: ("DEQUANTIZE", {}),
    14: ("LOGISTIC", {}),
    17: ("MAX_POOL_2D", _CONV | {"activation": 5, "filter_w": 3, "filter_h": 4}),
    22: ("RESHAPE", {}),
    23: ("RESIZE_BILINEAR", {"align_corners": 2, "half_pixel_centers": 3}),
    34: ("PAD", {}),
    124: ("DENSIFY", {}),
}
_BYTE_OPTIONS = frozenset({"padding", "activation", "align_corners", "half_pixel_centers"})
_DTYPES = {0: "<f4", 1: "<f2", 2: "<i4", 3: "u1", 4: "<i8", 6: "?", 7: "<i2", 9: "i1"}


class _Table:
    """A flatbuffer table: fields by number, absent ones read as their default."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at
        self._vtable = at - _unpack("<i", data, at)
        self._fields = (_unpack("<H", data, self._vtable) - 4) // 2

    def scalar(self, field: int, kind: str, default: int = 0) -> int:
        at = self._field(field)
        return _unpack(f"<{kind}", self._data, at) if at else default

    def array(self, field: int, dtype: str) -> NDArray[Any]:
        at = self._target(field)
        if not at:
            return np.empty(0, dtype)
        return np.frombuffer(self._data, dtype, _unpack("<I", self._data, at), at + 4)

    def table(self, field: int) -> "_Table | None":
        at = self._target(field)
        return _Table(self._data, at) if at else None

    def tables(self, field: int) -> "list[_Table]":
        offsets = self.array(field, "<u4")
        start = self._target(field) + 4
        return [_Table(self._data, start + 4 * i + int(offset)) for i, offset in enumerate(offsets)]

    def _field(self, field: int) -> int:
        offset = _unpack("<H", self._data, self._vtable + 4 + 2 * field) if field < self._fields else 0
        return self._at + offset if offset else 0

    def _target(self, field: int) -> int:
        at = self._field(field)
        return at + _unpack("<I", self._data, at) if at else 0


def _unpack(kind: str, data: bytes, at: int) -> int:
    if at < 0:  # struct would count from the end
        raise ValueError(f"an offset of {at} bytes")
    return int(struct.unpack_from(kind, data, at)[0])


def _graph(model: _Table) -> Graph:
    # Codes up to 126 stand in the old byte field; files by newer converters fill both.
    codes = [max(code.scalar(0, "b"), code.scalar(3, "i")) for code in model.tables(1)]
    subgraph, *_ = model.tables(2)
    buffers = model.tables(4)
    tensors = tuple(_tensor(table, buffers) for table in subgraph.tables(0))
    operators = tuple(_operator(table, codes) for table in subgraph.tables(3))
    named = [index for operator in operators for index in operator.inputs + operator.outputs]
    if not all(-1 <= index < len(tensors) for index in named):
        raise ValueError(f"operators name tensors up to {max(named)} of {len(tensors)}")
    return Graph(tensors, operators, _ints(subgraph, 1), _ints(subgraph, 2))


def _tensor(table: _Table, buffers: list[_Table]) -> Tensor:
    name = bytes(table.array(3, "u1")).decode()
    shape = _ints(table, 0)
    raw = buffers[table.scalar(2, "I")].array(0, "u1")
    if not raw.size or table.table(6) is not None:  # the latter: sparse, its DENSIFY will be refused
        return Tensor(name, shape, None)
    data = raw.view(_DTYPES[table.scalar(1, "b")]).reshape(shape)
    quantization = table.table(4)
    scale = quantization.array(2, "<f4") if quantization else np.empty(0, "<f4")
    if quantization and scale.size:
        axis = [1] * len(shape)
        if scale.size > 1:
            axis[quantization.scalar(6, "i")] = -1
        data = (data - quantization.array(3, "<i8").reshape(axis)) * scale.reshape(axis)
    return Tensor(name, shape, data.astype(np.float32) if data.dtype.kind == "f" else data)


def _operator(table: _Table, codes: list[int]) -> Operator:
    code = codes[table.scalar(0, "I")]
    kind, fields = _KINDS.get(code, (f"operator {code}", {}))
    options = table.table(4)
    return Operator(
        kind,
        inputs=_ints(table, 1),
        outputs=_ints(table, 2),
        options={
            name: options.scalar(field, "b" if name in _BYTE_OPTIONS else "i") if options else 0
            for name, field in fields.items()
        },
    )


def _dequantized(graph: Graph) -> Graph:
    """Move the constants behind DEQUANTIZE to where they are read, and drop the operators."""
    moved, operators = {}, []
    for operator in graph.operators:
        if operator.kind == "DEQUANTIZE" and graph.tensors[operator.inputs[0]].data is not None:
            moved[operator.outputs[0]] = operator.inputs[0]
        else:
            operators.append(operator)
    tensors = list(graph.tensors)
    for target, source in moved.items():
        tensors[target] = graph.tensors[source]
    for source in moved.values():
        tensors[source] = replace(graph.tensors[source], data=None)
    return Graph(tuple(tensors), tuple(operators), graph.inputs, graph.outputs)


def _ints(table: _Table, field: int) -> tuple[int, ...]:
    return tuple(int(value) for value in table.array(field, "<i4"))
