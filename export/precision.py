"""Half precision where a network computes, and whole where its numbers are places in a picture."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import onnx
from numpy.typing import NDArray
from torch import Tensor, nn

from bodystream.export.to_onnx import Exportable
from bodystream.models.nets.backbones.norm import FrozenBatchNorm
from bodystream.models.runtime import quantise

PRECISIONS = ("fp32", "fp16", "int8")


class Half(nn.Module):
    """A module in half precision between inputs and outputs in single."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = copy.deepcopy(module).half()

    def forward(self, *inputs: Any) -> Any:
        """As the module's."""
        return _each(self.module(*(_each(given, Tensor.half) for given in inputs)), Tensor.float)


def computing(module: nn.Module, precision: str) -> nn.Module:
    """The module in the precision that files of `precision` compute in: int8 ones are made from fp32."""
    return Half(module) if precision == "fp16" else module


ROUGHER = 100  # times the tolerance: single precision has 23 bits of mantissa, half precision 10; sums even out some


def in_half(part: Exportable) -> Exportable:
    """A module whose network, its `net`, computes in half precision, to be compared with what it was."""
    module = copy.deepcopy(part.module)
    module.net = Half(module.net)  # type: ignore[arg-type] # a module
    tolerances = {name: ROUGHER * near for name, near in part.tolerances.items()}
    return replace(part, module=module, tolerances=tolerances, reference=part.module)


def _each(tensors: Any, do: Any) -> Any:
    """A tensor, or lists and tuples of them however deep, each of them changed."""
    if isinstance(tensors, Tensor):
        return do(tensors)
    parts = [_each(part, do) for part in tensors]
    return type(tensors)(*parts) if hasattr(tensors, "_fields") else type(tensors)(parts)


M = TypeVar("M", bound=nn.Module)


def folded(module: M) -> M:
    """A copy in which each convolution does what its normalisation did, where that is an affine map.

    They are known by their names, torchvision's: `conv1` and `bn1`, and the two of `downsample`.
    """
    module = copy.deepcopy(module)
    for part in module.modules():
        pairs = [(f"conv{number}", f"bn{number}") for number in (1, 2, 3)]
        for conv, norm in [*pairs, *([("0", "1")] if isinstance(part, nn.Sequential) else [])]:
            first, second = getattr(part, conv, None), getattr(part, norm, None)
            if isinstance(first, nn.Conv2d) and isinstance(second, FrozenBatchNorm | nn.BatchNorm2d):
                setattr(part, conv, fused(first, second))
                setattr(part, norm, nn.Identity())
    return module


def fused(conv: nn.Conv2d, norm: FrozenBatchNorm | nn.BatchNorm2d) -> nn.Conv2d:
    """The convolution that does what both do, in evaluation."""
    assert norm.running_mean is not None and norm.running_var is not None  # told to the type checker
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()  # (C,)
    both = copy.deepcopy(conv)
    both.weight = nn.Parameter((conv.weight * scale[:, None, None, None]).detach())
    before = 0 if conv.bias is None else conv.bias
    both.bias = nn.Parameter((norm.bias + (before - norm.running_mean) * scale).detach())
    return both


QUANTISED = (
    "Conv",
    "Relu",
    "Add",
    "MaxPool",
)  # what is computed in 8 bits, so that no values leave them between


def in_eight_bits(file: Path, feeds: Sequence[Mapping[str, NDArray[Any]]]) -> None:
    """Turn the backbone of a trunk's file into 8 bits, calibrated with what `feeds` show it; the file is replaced."""
    graph = onnx.load(file).graph
    backbone = [
        number for number, node in enumerate(graph.node) if any(BACKBONE in each for each in node.input)
    ]
    part = file.with_name(f"{file.name}.int8")
    among = graph.node[backbone[0] : backbone[-1] + 1]
    try:
        quantise(file, part, feeds, [node.name for node in among if node.op_type in QUANTISED])
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


BACKBONE = "backbone."  # in the names of its parameters
