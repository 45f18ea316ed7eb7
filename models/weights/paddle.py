"""Reader of Paddle's inference files: the program (`.pdmodel`) and its tensors (`.pdiparams`).

The program is a protobuf message, defined in Paddle's `paddle/fluid/framework/framework.proto`; the tensors
lie one after another, sorted by name, as its `dense_tensor_serialize.cc` writes them. Both are read with the
standard library and numpy alone, and neither can carry code.
"""

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bodystream.errors import WeightsCorrupt
from bodystream.models.weights.protobuf import UNREADABLE, Fields, message, signed, take


@dataclass(frozen=True, slots=True)
class Op:
    """One operation of the program: names of tensors by slot ("Input", "Filter", ...), and its settings."""

    type: str
    inputs: Mapping[str, tuple[str, ...]]
    outputs: Mapping[str, tuple[str, ...]]
    attributes: Mapping[str, Any]  # int, float, str, bool, or a tuple of one of them


@dataclass(frozen=True, slots=True)
class PaddleModel:
    """A program's operations in the order in which they run, and its trained tensors by name."""

    ops: tuple[Op, ...]
    tensors: Mapping[str, NDArray[Any]]


def read_paddle(model_path: Path, params_path: Path) -> PaddleModel:
    """Read a `.pdmodel` and the `.pdiparams` that belongs to it.

    Raises WeightsCorrupt where the bytes are truncated, of another format, or do not belong together.
    """
    try:
        block = message(message(model_path.read_bytes())[1][0])  # ProgramDesc.blocks[0]
        names = sorted(name for body in block[3] if (name := _persistable(body)) is not None)
        ops = tuple(_op(body) for body in block[4])
    except UNREADABLE as error:
        raise WeightsCorrupt(
            f"{model_path}: not a whole .pdmodel file ({error!r}). Fetch it anew."
        ) from error
    try:
        return PaddleModel(ops, _tensors(params_path.read_bytes(), names))
    except UNREADABLE as error:
        raise WeightsCorrupt(
            f"{params_path}: not the .pdiparams of {model_path.name} ({error!r}). Fetch both anew."
        ) from error


def _persistable(body: bytes) -> str | None:
    """The variable's name if it is a tensor that the parameter file holds."""
    fields = message(body)
    is_tensor = message(fields[2][0])[1][0] == 7  # VarType.LOD_TENSOR, not a feed or fetch list
    return fields[1][0].decode() if is_tensor and fields.get(3, [0])[0] else None


def _op(body: bytes) -> Op:
    fields = message(body)
    attributes = dict(_attribute(message(attribute)) for attribute in fields.get(4, []))
    return Op(fields[3][0].decode(), _slots(fields.get(1, [])), _slots(fields.get(2, [])), attributes)


def _slots(bodies: list[bytes]) -> dict[str, tuple[str, ...]]:
    slots = [message(body) for body in bodies]
    return {slot[1][0].decode(): tuple(name.decode() for name in slot.get(2, [])) for slot in slots}


def _attribute(fields: Fields) -> tuple[str, Any]:
    number, decode, many = _ATTRIBUTE_KINDS[fields[2][0]]
    values = tuple(decode(value) for value in fields.get(number, []))
    return fields[1][0].decode(), values if many else values[0]


def _float(value: bytes) -> float:
    return float(struct.unpack("<f", value)[0])


# AttrType -> (field of OpDesc.Attr, decoder, a list?): those that programs for inference use.
_ATTRIBUTE_KINDS: Mapping[int, tuple[int, Callable[[Any], Any], bool]] = {
    0: (3, signed, False), 1: (4, _float, False), 2: (5, bytes.decode, False), 3: (6, signed, True),
    4: (7, _float, True), 5: (8, bytes.decode, True), 6: (10, bool, False), 7: (11, bool, True),
    9: (13, signed, False), 11: (15, signed, True),
}  # fmt: skip


def _tensors(data: bytes, names: list[str]) -> dict[str, NDArray[Any]]:
    tensors: dict[str, NDArray[Any]] = {}
    at = 0
    for name in names:
        tensors[name], at = _tensor(data, at)
    if at != len(data):
        raise ValueError(f"{len(data) - at} more bytes than its {len(names)} tensors take")
    return tensors


def _tensor(data: bytes, at: int) -> tuple[NDArray[Any], int]:
    """The tensor at byte `at`, and where the next one begins."""
    head, at = take(data, at, 20)
    version, lod_levels, tensor_version, desc_size = struct.unpack("<IQII", head)
    if version or lod_levels or tensor_version:
        raise ValueError(f"no tensor at byte {at - 20}")
    desc, at = take(data, at, desc_size)
    fields = message(desc)
    dtype, shape = np.dtype(_DTYPES[fields[1][0]]), tuple(signed(size) for size in fields.get(2, []))
    raw, at = take(data, at, math.prod(shape) * dtype.itemsize)
    return np.frombuffer(raw, dtype).reshape(shape), at


# VarType.Type -> numpy's little-endian type
_DTYPES = {0: "?", 1: "<i2", 2: "<i4", 3: "<i8", 4: "<f2", 5: "<f4", 6: "<f8", 20: "u1", 21: "i1"}
