"""Networks of the R-CNN family by name, with weights out of any file or out of a seed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from bodystream.errors import UsageError, WeightsMismatch
from bodystream.models.nets.backbones.classifiers import CLASSIFIERS
from bodystream.models.nets.rcnn.system import SYSTEMS as RCNNS
from bodystream.models.nets.rcnn.system import Rcnn
from bodystream.models.nets.semantic.systems import SEMANTIC
from bodystream.models.nets.vnect import Vnect
from bodystream.models.systems import NAMES, SYSTEMS, Kind, WeightsSpec, kind_of
from bodystream.models.weights import checkpoint, detectron2, matching, torchvision, vnect
from bodystream.models.weights.checkpoint import Checkpoint
from bodystream.models.weights.matching import Report
from bodystream.models.weights.random import fill, random_rcnn

CLASSES = 1000  # of the published classifiers: ImageNet's
DIGITS = 10  # of LeNet-5


@dataclass(frozen=True, slots=True)
class Examination:
    """What is known of a file of weights.

    `layout` tells whose names it bears. `system` is the one that it fits, or the nearest one, or None where it
    is like none; `report` is the account against that one.
    """

    checkpoint: Checkpoint
    layout: str
    system: str | None
    report: Report | None

    @property
    def fits(self) -> bool:
        """Whether every entry of the file and of the system has its counterpart."""
        return self.report is not None and not self.report.faults


def load(weights: WeightsSpec, path: Path | None, kinds: tuple[Kind, ...]) -> tuple[str, nn.Module]:
    """The network that the weights are for, filled with them, in eval mode, and its system's name.

    `path` is where the file lies, None where the weights are of a seed. `kinds` are those that will do. Raises
    WeightsCorrupt as `checkpoint.read`, WeightsMismatch where the file does not fit the system, or fits none
    and none was asked for, and UsageError for a system of another kind.
    """
    if path is None:
        system = _of_kind(weights.system or "", kinds)
        if system in RCNNS:
            return system, random_rcnn(RCNNS[system], weights.seed or 0)
        net = build(system)
        fill(net, weights.seed or 0)
        return system, net.eval()
    found = examine(path, _of_kind(weights.system, kinds) if weights.system else None)
    if found.system is None or not found.fits:
        raise _mismatch(path, weights.system, found)
    system = _of_kind(found.system, kinds)
    tensors, names, _ = named(found.checkpoint)
    net = build(system, _classes(system, tensors, names))
    matching.put(net, tensors, names)
    return system, net.eval()


def examine(path: Path, system: str | None = None) -> Examination:
    """Read a file and compare it with the system, or with all of them where none is given.

    Raises WeightsCorrupt as `checkpoint.read`, UsageError for a system that is not known.
    """
    return recognise(checkpoint.read(path), system)


def recognise(content: Checkpoint, system: str | None = None) -> Examination:
    """As `examine`, of what was read."""
    if system is not None:
        kind_of(system)  # raises for a name that is not known
    tensors, names, layout = named(content)
    if system is None and content.metadata.get("system") in NAMES:
        system = content.metadata["system"]  # as `bodystream train` writes
    ours = set(names.values())
    reports = {
        name: matching.compare(shapes(name, _classes(name, tensors, names)), tensors, names)
        for name in NAMES
        if name == system or (system is None and _share(ours, shapes(name)) > LIKE)
    }
    nearest = min(reports, key=lambda name: reports[name].faults, default=None)
    return Examination(content, layout, nearest, reports[nearest] if nearest else None)


LIKE = 0.5  # of a system's names that a file must have to be said to look like it


def named(content: Checkpoint) -> tuple[Mapping[str, Tensor], Mapping[str, str], str]:
    """A file's tensors, for each of its names that of the networks here, and whose names they are."""
    tensors = content.tensors
    if content.format == "caffe":
        tensors = vnect.from_caffe(tensors)
        return tensors, {name: name for name in tensors}, "Caffe"
    if detectron2.is_named_so(tensors):
        return tensors, {name: detectron2.our_name(name) for name in tensors}, "detectron2"
    return tensors, {name: torchvision.current_name(name) for name in tensors}, "torchvision"


def build(system: str, classes: int | None = None) -> nn.Module:
    """The system's network with the weights that torch starts from. Raises UsageError for an unknown name.

    `classes` is for classifiers of another number of them than the published ones, and for R-CNNs of one alone,
    which then is taken for the person.
    """
    match kind_of(system):
        case "rcnn" | "densepose":
            spec = RCNNS[system]
            return Rcnn(spec if classes is None else replace(spec, classes=classes, person=0))
        case "vnect":
            return Vnect()
        case "semantic":
            return SEMANTIC[system]()
        case "classifier":
            return CLASSIFIERS[system](classes or (DIGITS if system == "lenet-5" else CLASSES))


@cache
def shapes(system: str, classes: int | None = None) -> Mapping[str, Tensor]:
    """The state of `build` without its numbers: tensors on torch's meta device."""
    with _Unfilled(), torch.device("meta"):
        return build(system, classes).state_dict()


def _classes(system: str, tensors: Mapping[str, Tensor], names: Mapping[str, str]) -> int | None:
    """How many classes a file of that system is for, where it need not be as many as the published ones have."""
    kind = kind_of(system)
    if kind == "classifier":
        last = list(shapes(system))[-1]  # its bias comes last in every one of them
    elif kind in ("rcnn", "densepose"):
        last = "roi_heads.box_predictor.cls_score.bias"
    else:
        return None
    outputs = next((each.numel() for name, each in tensors.items() if names[name] == last), None)
    if kind == "classifier":
        return outputs
    return 1 if outputs == 2 else None  # of more classes nobody could say which is the person


class _Unfilled(TorchFunctionMode):
    """Leaves out the random starts of layers, which on the meta device cost seconds of imports."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        del types
        kwargs = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init" or func in _FILLS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


_FILLS = (torch.Tensor.normal_, torch.Tensor.uniform_)


def _share(names: set[str], expected: Mapping[str, Tensor]) -> float:
    return len(names & expected.keys()) / len(expected)


def _of_kind(system: str, kinds: tuple[Kind, ...]) -> str:
    if (kind := kind_of(system)) not in kinds:
        wanted = ", ".join(name for each in kinds for name in SYSTEMS[each])
        raise UsageError(f"{system} is a {kind} system; expected one of: {wanted}")
    return system


def _mismatch(path: Path, asked: str | None, found: Examination) -> WeightsMismatch:
    every = f"All of it: bodystream models inspect {path}"
    if found.report is None or found.system is None:
        some = ", ".join(list(found.checkpoint.tensors)[:3])
        return WeightsMismatch(
            f"{path} is like no system that is known: {len(found.checkpoint.tensors)} tensors ({some}, …). {every}"
        )
    if asked is None:
        return WeightsMismatch(
            f"{path} looks like {found.system} and does not fit it: {found.report.summary()}. {every}"
        )
    other = examine(path).system
    hint = f" The names look like {other}." if other and other != asked else ""
    return WeightsMismatch(f"{path} does not fit {asked}: {found.report.summary()}.{hint} {every}")
