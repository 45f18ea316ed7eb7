"""A system of the R-CNN family from its weights to checked ONNX files; an R-CNN's are several, cut by `wrap_rcnn`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from bodystream.errors import OutputExists, UsageError
from bodystream.export.check import Checked, Finding, check, raise_if_bad
from bodystream.export.check_rcnn import Image, check_whole
from bodystream.export.meta import OPSET, OPSETS, Origin, metadata
from bodystream.export.precision import PRECISIONS, in_eight_bits, in_half
from bodystream.export.to_onnx import Exportable, Tensors, to_onnx
from bodystream.export.whole import whole_or_not_at_all
from bodystream.export.wrap_classifier import classifier_exportable
from bodystream.export.wrap_rcnn import conventions_of, pieces
from bodystream.export.wrap_semantic import semantic_exportable
from bodystream.export.wrap_vnect import vnect_exportable
from bodystream.models.nets.rcnn.system import Rcnn
from bodystream.models.nets.vnect import Vnect
from bodystream.models.rcnn import Shape, scaled
from bodystream.models.store import Progress
from bodystream.models.systems import DEFAULT, SYSTEMS, WeightsSpec, kind_of
from bodystream.models.weights.networks import load
from bodystream.models.zoo import ZOO

DIGITS_PX, PICTURE_PX = (
    32,
    224,
)  # sides of the pictures that LeNet-5 and the other classifiers were trained on


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be made of which weights; `sha256` is what the files will be known by.

    `file` is None where the weights are of a seed. `batch` is for networks of crops, None leaves it free. `images`,
    uint8 (H, W, 3) BGR, are what int8 is calibrated with.
    """

    weights: WeightsSpec
    file: Path | None
    sha256: str
    shape: Shape
    precision: str = "fp32"
    opset: int = OPSET
    batch: int | None = None
    images: Sequence[Image] = ()


@dataclass(frozen=True, slots=True)
class Made:
    """A system's files by piece, what was checked of each, and of all together."""

    system: str
    files: Mapping[str, Path]
    checked: Mapping[str, Checked]
    whole: Sequence[Finding] = ()


def make(
    request: Request, folder: Path, *, overwrite: bool = False, progress: Progress | None = None
) -> Made:
    """Make the files SYSTEM.PIECE.onnx in `folder`, or SYSTEM.onnx where there is but one; all of them or none.

    `progress` is told of the steps. Raises OutputExists, UsageError, ModelError where the folder cannot be written,
    ExportFailed, and what reading the weights raises.
    """
    _check_request(request)
    system, net = load(request.weights, request.file, tuple(SYSTEMS))
    parts = parts_of(system, net, request)
    batch = None if isinstance(net, Rcnn) else request.batch
    files = {piece: folder / file_name(system, piece) for piece in parts}
    if there := [str(file) for file in files.values() if file.exists() and not overwrite]:
        raise OutputExists(
            f"{', '.join(there)}: exists already; add --overwrite, or give another folder with -o"
        )
    steps = 2 * len(parts) + 1

    def step(done: int) -> None:
        if progress:
            progress(f"preparing {system}", done, steps)

    whole: Sequence[Finding] = ()
    with whole_or_not_at_all(list(files.values())) as temporary:
        drafts = dict(zip(parts, temporary, strict=True))
        checked = {}
        for number, (piece, part) in enumerate(parts.items()):
            step(2 * number)
            name = file_name(system, piece).removesuffix(".onnx")
            to_onnx(part, drafts[piece], _metadata(name, piece, part, net, request), batch, request.opset)
            if request.precision == "int8" and piece == "trunk":
                in_eight_bits(
                    drafts[piece], [_arrays(part.example(number)) for number in range(len(request.images))]
                )
            step(2 * number + 1)
            checked[piece] = check(drafts[piece], part, (batch,) if batch else part.sizes)
        step(steps - 1)
        if isinstance(net, Rcnn):
            whole = check_whole(drafts, net, request.shape, request.precision, request.images)
            raise_if_bad(system, whole)
    step(steps)
    return Made(system, files, checked, whole)


def file_name(system: str, piece: str) -> str:
    """What a piece's file is called: without the piece where a system is of one."""
    return f"{system}.onnx" if piece in WHOLE else f"{system}.{piece}.onnx"


WHOLE = ("vnect", "semantic", "classifier")  # systems of one piece, which bears the name of their kind


def parts_of(system: str, net: nn.Module, request: Request) -> dict[str, Exportable]:
    """What is exported of a system, by piece."""
    shape, kind = request.shape, kind_of(system)
    if isinstance(net, Rcnn):
        parts = pieces(net, shape, request.precision)
        if request.images:
            sizes = tuple(range(min(2, len(request.images))))
            parts["trunk"] = replace(parts["trunk"], example=_seen(net, request), sizes=sizes)
        return parts
    if isinstance(net, Vnect):
        part = vnect_exportable(net)
    elif kind == "semantic":
        part = replace(semantic_exportable(net, shape.height, shape.width), fixed=True, sizes=(1,))
    else:
        part = classifier_exportable(net, DIGITS_PX if system == "lenet-5" else PICTURE_PX)
    return {kind: in_half(part) if request.precision == "fp16" else part}


def _seen(net: Rcnn, request: Request) -> Callable[[int], Tensors]:
    """An `Exportable.example` of a trunk: the request's pictures."""
    conv = conventions_of(net, request.shape)

    def example(number: int) -> Tensors:
        canvas, size, _ = scaled(request.images[number], conv)
        return {"image": torch.from_numpy(canvas), "size": torch.from_numpy(size)}

    return example


def _arrays(tensors: Tensors) -> dict[str, NDArray[Any]]:
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def _metadata(name: str, piece: str, part: Exportable, net: nn.Module, request: Request) -> dict[str, str]:
    entry = next((each for each in ZOO if each.name == request.weights.place), None)
    origin = Origin(
        stage=piece,
        sha256=request.sha256,
        sources={str(request.weights): request.sha256},
        licence=entry.licence if entry else "",
        paper=entry.paper if entry else "",
    )
    more = {"conventions": conventions_of(net, request.shape).text()} if isinstance(net, Rcnn) else {}
    precision = "fp32" if request.precision == "int8" and piece != "trunk" else request.precision
    return metadata(name, part.module, origin, precision, request.opset, more)


def _check_request(request: Request) -> None:
    """Raise UsageError for what cannot be made."""
    if request.opset not in OPSETS:
        raise UsageError(
            f"--opset {request.opset}: expected {OPSETS[0]} to {OPSETS[-1]}: older ones lack operations that the "
            "networks need, newer ones have some that ONNX Runtime does not run on a GPU"
        )
    if request.precision not in PRECISIONS:
        raise UsageError(f"--precision {request.precision}: expected {', '.join(PRECISIONS)}")
    if request.precision == "int8" and kind_of(request.weights.system or DEFAULT) not in (
        "rcnn",
        "densepose",
    ):
        raise UsageError(
            f"--precision int8 is for the backbone of an R-CNN; {request.weights.system} takes fp16"
        )
    if (request.precision == "int8") != bool(request.images):
        raise UsageError(
            "--precision int8 and --calibrate FILES go together: 8 bits are spread by what is seen in them"
        )
