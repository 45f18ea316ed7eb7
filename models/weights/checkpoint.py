"""Any file of weights, read into tensors by name: what it is is seen by its contents, not by its suffix.

Read are torch's `.pth` (zip and the older kind), detectron2's `.pkl`, safetensors, and Caffe's `.caffemodel`.
No file runs anything: torch's are read by its own restricted reader, other pickles by models/weights/pickles.py.
"""

import pickle
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from bodystream.errors import WeightsCorrupt, WeightsMissing
from bodystream.models.weights import caffe, pickles, protobuf

Format = Literal["torch", "pickle", "safetensors", "caffe"]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a file of weights holds.

    `tensors` bear the file's own names; a Caffe layer's blobs are "layer.0", "layer.1" and so on. `metadata`
    is the text that a safetensors file carries. `others` are entries that are no weights, each with what it
    is: "iteration: 269999".
    """

    tensors: Mapping[str, Tensor]
    format: Format
    metadata: Mapping[str, str]
    others: tuple[str, ...]


def read(path: Path) -> Checkpoint:
    """Read a file of weights; large torch and safetensors files are mapped, not copied.

    Raises WeightsCorrupt where the file is empty, cut short, no checkpoint, without any tensor, or a pickle
    that asks for more than arrays and containers; WeightsMissing where it cannot be opened.
    """
    try:
        with path.open("rb") as file:
            head = file.read(32)
    except OSError as error:
        raise WeightsMissing(f"{path} cannot be read: {error.strerror}") from error
    if not head:
        raise WeightsCorrupt(f"{path} is empty. Fetch it anew.")
    if head.startswith((b"PK\x03\x04", _TORCH_MAGIC)):
        checkpoint = _read_torch(path, zipped=head.startswith(b"PK"))
    elif len(head) > 8 and head[8:9] == b"{":  # before it, the header's length in 8 bytes
        checkpoint = _read_safetensors(path)
    elif head[0] == 0x80 or _OLD_PICKLE.match(head):
        checkpoint = _read_pickle(path)
    elif head[0] in _CAFFE_STARTS:
        checkpoint = _read_caffe(path)
    else:
        raise WeightsCorrupt(
            f"{path} is no checkpoint: expected torch's .pth, a .pkl, .safetensors or .caffemodel, "
            f"found a file that begins with {head[:8]!r}."
        )
    if not checkpoint.tensors:
        raise WeightsCorrupt(f"{path} holds no tensors, only {_listed(checkpoint.others)}.")
    return checkpoint


# torch's files from before 1.6: a pickled number that says so, and then the pickles of the contents.
_TORCH_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_OLD_PICKLE = re.compile(rb"\((d|l|c)|\}q|c[a-z_]+\n")  # protocols 0 and 1 have no mark: these are containers
_CAFFE_STARTS = (0x0A, 0x12, 0xA2)  # NetParameter's name, layers (old) and layer
# Where trainers keep the weights among other things.
_WRAPPERS = ("model", "state_dict", "model_state_dict", "model_state", "params", "net", "weights", "blobs")


def _read_torch(path: Path, *, zipped: bool) -> Checkpoint:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        if asked := re.search(r"GLOBAL (\S+)", str(error)):
            raise _refusal(path, asked[1]) from error
        raise _damage(path, "torch", error) from error
    except (RuntimeError, EOFError, struct.error, OSError, *pickles.UNREADABLE) as error:
        raise _damage(path, "torch", error) from error
    return _unwrapped(content, "torch")


def _read_pickle(path: Path) -> Checkpoint:
    try:
        with path.open("rb") as file:
            content = pickles.load_plain(file)
        return _unwrapped(content, "pickle")
    except pickles.Refused as error:
        raise _refusal(path, str(error)) from error
    except pickles.UNREADABLE as error:
        raise _damage(path, "pickle", error) from error


def _read_safetensors(path: Path) -> Checkpoint:
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            return Checkpoint(tensors, "safetensors", file.metadata() or {}, ())
    except (SafetensorError, OSError) as error:
        raise _damage(path, "safetensors", error) from error


def _read_caffe(path: Path) -> Checkpoint:
    try:
        layers = caffe.read_blobs(path.read_bytes())
    except protobuf.UNREADABLE as error:
        raise _damage(path, "Caffe", error) from error
    tensors = {
        f"{name}.{index}": _tensor(blob) for name, blobs in layers.items() for index, blob in enumerate(blobs)
    }
    return Checkpoint(tensors, "caffe", {}, ())


def _unwrapped(content: object, kind: Format) -> Checkpoint:
    """The dict of tensors inside what a trainer saved; everything beside it is told of."""
    others: list[str] = []
    for _ in range(3):  # deeper than any trainer goes, and an end where a dict holds itself
        if not isinstance(content, Mapping) or not (inner := _wrapped(content)):
            break
        others += [_described(name, value) for name, value in content.items() if name != inner]
        content = content[inner]
    if not isinstance(content, Mapping):
        return Checkpoint({}, kind, {}, (*others, _described("all of it", content)))
    tensors = {}
    for name, value in content.items():
        tensor = _tensor(value.value()) if isinstance(value, pickles.Array) else value
        if isinstance(name, str) and isinstance(tensor, Tensor):
            tensors[name] = tensor.detach()
        else:
            others.append(_described(name, value))
    return Checkpoint(_without_prefix(tensors), kind, {}, tuple(others))


def _wrapped(content: Mapping[object, object]) -> str | None:
    """The key under which the weights lie, where they do not lie in `content` itself."""
    return next((key for key in _WRAPPERS if isinstance(content.get(key), Mapping)), None)


def _without_prefix(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Names without the "module." that torch's DataParallel puts before every one of them."""
    if all(name.startswith("module.") for name in tensors):
        return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    return tensors


def _tensor(array: "np.ndarray[tuple[int, ...], np.dtype[np.generic]]") -> Tensor:
    # Writable and in the machine's byte order, as torch wants it
    return torch.from_numpy(np.array(array, array.dtype.newbyteorder("=")))


def _described(name: object, value: object) -> str:
    """ "optimizer: dict of 2", "iteration: 269999": short, whatever the file put there."""
    match value:
        case bool() | int() | float() | None:
            what = str(value)[:20]
        case str():
            what = value[:40]
        case list() | tuple() | set() | dict():
            what = f"{type(value).__name__} of {len(value)}"
        case _:
            what = type(value).__name__
    return f"{str(name)[:60] if isinstance(name, str | int) else type(name).__name__}: {what}"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "") or "nothing"


def _refusal(path: Path, asked: str) -> WeightsCorrupt:
    return WeightsCorrupt(
        f"{path} is refused: it asks for {asked}, where weights are arrays and plain containers; "
        "nothing of it was run. Save the bare state dict, as safetensors or with torch.save."
    )


def _damage(path: Path, kind: str, error: BaseException) -> WeightsCorrupt:
    reason = " ".join(str(error).split()).split(". ")[0] or type(error).__name__
    return WeightsCorrupt(f"{path}: not a whole {kind} file ({reason[:160]}). Fetch it anew.")
