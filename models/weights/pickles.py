"""A pickle reader for weights: arrays and plain containers, and nothing that could run.

A pickle is a small program that may call anything importable. This reader hands it none of Python's functions:
the few names that arrays are made of (numpy's own pickles, of Python 2 and 3) are answered by stand-ins below,
which build arrays out of bytes; every other name is refused. So detectron2's model zoo can be read, whose
files are {"model": {name: array}, ...}.
"""

import math
import pickle
from collections.abc import Callable, Mapping
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray


class Refused(pickle.UnpicklingError):
    """The pickle asks for something that weights are not made of; the message is its name."""


# What a damaged pickle leads to, beside UnpicklingError: short reads, wrong operands, stand-ins misused.
UNREADABLE = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    MemoryError,
    RecursionError,
)


def load_plain(file: IO[bytes]) -> object:
    """What is pickled: dicts, lists, tuples, sets, numbers, strings, bytes, None, and `Array` for arrays.

    Strings of Python 2 are read as latin-1, as detectron2 does. Raises Refused, or one of UNREADABLE.
    """
    return _Unpickler(file, encoding="latin1").load()


class Array:
    """What stands for a numpy array: its parts are set by the pickle, `value` puts them together."""

    __slots__ = ("dtype", "fortran", "raw", "shape")

    def __init__(self) -> None:
        self.dtype, self.shape, self.raw, self.fortran = _Dtype("<f4"), (0,), b"", False

    def __setstate__(self, state: Any) -> None:
        _, self.shape, self.dtype, self.fortran, raw = state
        if not isinstance(self.dtype, _Dtype) or not isinstance(raw, bytes | str):
            raise Refused("an array of objects")
        self.raw = raw.encode("latin1") if isinstance(raw, str) else raw

    def value(self) -> NDArray[Any]:
        """The array. Raises ValueError where its bytes do not fill its shape, TypeError for an odd shape."""
        flat = np.frombuffer(self.raw, self.dtype.numpy())
        if any(size < 0 for size in self.shape) or math.prod(self.shape) != flat.size:
            raise ValueError(f"{flat.size} numbers for an array of {self.shape}")
        return flat.reshape(self.shape, order="F" if self.fortran else "C")


class _Dtype:
    """What stands for numpy.dtype: a kind and a size, such as "f4"; the byte order follows as its state."""

    __slots__ = ("code", "order")

    def __init__(self, code: object, *_: object) -> None:
        if not isinstance(code, str) or code.lstrip("<>=|") not in _CODES:
            raise Refused(f"an array of {code!r}")
        self.code, self.order = code.lstrip("<>=|"), "<"

    def __setstate__(self, state: Any) -> None:
        order = state[1]
        self.order = ">" if order in (">", "!") else "<"

    def numpy(self) -> np.dtype[Any]:
        return np.dtype(self.order + self.code)


_CODES = frozenset({"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"})


class _StandIn:
    """What is called in place of the function that the pickle names. A pickle can also set attributes: not these."""

    __slots__ = ("_call",)
    _call: Callable[..., object]

    def __init__(self, call: Callable[..., object]) -> None:
        object.__setattr__(self, "_call", call)

    def __call__(self, *args: object) -> object:
        return self._call(*args)

    def __setattr__(self, name: str, value: object) -> None:
        raise Refused(f"a change of {name}")

    def __setstate__(self, state: object) -> None:
        raise Refused("a change of its reader")


def _array_begun(*_: object) -> Array:
    """numpy's _reconstruct(ndarray, (0,), b"b"): an empty array, to be filled by its state."""
    return Array()


def _array_whole(buffer: object, dtype: object, shape: object, order: object) -> Array:
    """numpy's _frombuffer, of pickle protocol 5."""
    array = Array()
    raw = bytes(buffer) if isinstance(buffer, bytes | bytearray) else buffer
    array.__setstate__((1, shape, dtype, order == "F", raw))
    return array


def _scalar(dtype: object, raw: object) -> Array:
    """numpy's scalar: kept as an array without axes."""
    array = Array()
    array.__setstate__((1, (), dtype, False, raw))
    return array


def _encoded(text: object, encoding: object = "latin1") -> bytes:
    """_codecs.encode, which old protocols write bytes with."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise Refused(f"_codecs.encode to {encoding!r}")
    return text.encode("latin1")


def _ordered(items: Any = ()) -> dict[Any, Any]:
    return dict(items)


_STAND_INS: Mapping[tuple[str, str], _StandIn] = {
    **{
        (module, name): _StandIn(call)
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
        for name, call in (("_reconstruct", _array_begun), ("scalar", _scalar))
    },
    ("numpy.core.numeric", "_frombuffer"): _StandIn(_array_whole),
    ("numpy._core.numeric", "_frombuffer"): _StandIn(_array_whole),
    ("numpy", "ndarray"): _StandIn(_array_begun),  # named as an argument of _reconstruct only
    ("numpy", "dtype"): _StandIn(_Dtype),
    ("_codecs", "encode"): _StandIn(_encoded),
    ("collections", "OrderedDict"): _StandIn(_ordered),
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _STAND_INS[module, name]
        except KeyError:
            raise Refused(f"{module}.{name}") from None
