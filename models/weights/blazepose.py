"""Which tensor of BlazePose's tflite files is which parameter of `nets.blazepose`."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bodystream.errors import WeightsCorrupt
from bodystream.models.nets.blazepose import FULL, HEAVY, LITE, BlazePose, without_weights
from bodystream.models.weights.tflite import Graph, Operator, read_tflite


def load_blazepose(path: Path) -> BlazePose:
    """The network of a pose landmark tflite file, in eval mode; lite, full or heavy, as the file tells.

    Raises WeightsCorrupt where the file's convolutions are not, one by one, those of a size that is known,
    and where the file holds a weight that no convolution or more than one takes.
    """
    graph = read_tflite(path)
    steps = [step for step in graph.operators if step.kind in ("CONV_2D", "DEPTHWISE_CONV_2D")]
    net = _net_with(len(steps), path)
    names = {module: name for name, module in net.named_modules()}
    state, problems = {}, _unused_and_shared(graph, steps)
    for conv, step in zip(_in_file_order(net), steps, strict=True):
        weight, bias = _weight_and_bias(graph, step)
        problems += [f"{names[conv]} {problem}" for problem in _differences(conv, step, weight, bias)]
        state[f"{names[conv]}.weight"] = torch.from_numpy(weight)
        state[f"{names[conv]}.bias"] = torch.from_numpy(bias)
    if problems:
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        raise WeightsCorrupt(f"{path}: not BlazePose as it is known: {'; '.join(problems[:3])}{more}.")
    net.load_state_dict(state, assign=True)
    return net.eval()


def _net_with(convolutions: int, path: Path) -> BlazePose:
    counts = {}
    for name, size in (("lite", LITE), ("full", FULL), ("heavy", HEAVY)):
        net = without_weights(size)
        counts[name] = sum(1 for _ in _in_file_order(net))
        if counts[name] == convolutions:
            return net
    expected = ", ".join(f"{count} ({name})" for name, count in counts.items())
    raise WeightsCorrupt(
        f"{path}: not a BlazePose landmark network: expected {expected} convolutions, found {convolutions}."
    )


def _in_file_order(net: BlazePose) -> Iterator[nn.Conv2d]:
    """Convolutions as the converter wrote them: a branch comes after the first reader of what it reads."""
    yield from _convs(net.stem)
    branches: tuple[tuple[nn.Module, ...], ...] = (
        (net.mask_lateral,),
        (net.lateral[0],),
        (net.lateral[1], *net.descent_lateral[:1]),
        (net.lateral[2], *net.descent_lateral[1:]),
    )
    for level, branch in zip(net.encoder, branches, strict=True):
        expand, *rest = _convs(level)
        yield expand
        yield from _convs(*branch)
        yield from rest
    yield from _convs(net.top, net.lateral[3])
    descent = list(_convs(net.descent))
    yield from descent[:2]
    yield from _convs(net.mask_entry, net.mask_128, net.mask_256, net.mask)
    yield from descent[2:]
    yield from _convs(net.heatmaps, net.head_entry, net.head, net.landmarks, net.world, net.presence)


def _convs(*modules: nn.Module) -> Iterator[nn.Conv2d]:
    for module in modules:
        yield from (part for part in module.modules() if isinstance(part, nn.Conv2d))


def _weight_and_bias(graph: Graph, step: Operator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Constants of a step as in torch: (out, in / groups, height, width), (out,); empty if missing."""
    constants = [graph.tensors[index].data for index in step.inputs[1:]]
    weight, bias = constants if len(constants) == 2 else (None, None)
    if weight is None or bias is None or weight.ndim != 4:
        return np.empty((0,) * 4, np.float32), np.empty(0, np.float32)
    # tflite: (out, height, width, in), and (1, height, width, channels) for depthwise ones
    axes = (3, 0, 1, 2) if step.kind == "DEPTHWISE_CONV_2D" else (0, 3, 1, 2)
    return np.ascontiguousarray(weight.transpose(axes)), bias


def _differences(
    conv: nn.Conv2d, step: Operator, weight: NDArray[np.float32], bias: NDArray[np.float32]
) -> Iterator[str]:
    found = (weight.shape, bias.shape, (step.options["stride_h"], step.options["stride_w"]))
    expected = (tuple(conv.weight.shape), (conv.out_channels,), conv.stride)
    for what, here, there in zip(("weight", "bias", "stride"), expected, found, strict=True):
        if here != there:
            yield f"has a {what} of {there}, expected {here}"


def _unused_and_shared(graph: Graph, steps: list[Operator]) -> list[str]:
    uses = Counter(index for step in steps for index in step.inputs[1:])
    weights = (
        index
        for index, tensor in enumerate(graph.tensors)
        if tensor.data is not None and tensor.data.dtype.kind == "f"
    )
    return [
        f"{graph.tensors[index].name} is used {uses[index]} times" for index in weights if uses[index] != 1
    ]
