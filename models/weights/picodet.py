"""PicoDet's weights from the original Paddle files: which tensor is which parameter."""

from pathlib import Path

import torch
from torch import Tensor, nn

from bodystream.errors import WeightsCorrupt
from bodystream.models.nets.picodet import PicoDet
from bodystream.models.weights.paddle import Op, PaddleModel, read_paddle

# The three constant tensors that the program ends with, and the buffers of PicoDet that hold them.
CONSTANTS = {"auto_4_": "distances", "auto_45_": "centres", "auto_46_": "strides"}


def load_picodet(model_path: Path, params_path: Path) -> PicoDet:
    """Read `model.pdmodel` and `model.pdiparams` of PicoDet-S 416 into the torch module, in eval mode.

    Paddle numbers convolutions in the order in which they are made, and so does `PicoDet`: the i-th
    convolution here is the i-th there. The program tells which norm or bias follows each one. Every tensor
    is used exactly once; strides, paddings, groups and epsilons must be those of the module.

    Raises WeightsCorrupt where the files are damaged or hold another network.
    """
    model = read_paddle(model_path, params_path)
    net = PicoDet()
    try:
        tensors = _assign(net, model)
    except (ValueError, KeyError) as error:
        raise WeightsCorrupt(
            f"{model_path}: expected PicoDet-S 416 with 80 classes, found another: {error}. Fetch it anew."
        ) from error
    net.load_state_dict(tensors)
    return net.eval()


def _assign(net: PicoDet, model: PaddleModel) -> dict[str, Tensor]:
    """PicoDet's state: every parameter and buffer by its name, out of the file's tensors."""
    names = _conv_names(net, model) | CONSTANTS
    if missing := sorted(names.keys() - model.tensors.keys()):
        raise ValueError(f"tensors {', '.join(missing)} are missing")
    if unused := sorted(model.tensors.keys() - names.keys()):
        raise ValueError(f"tensors {', '.join(unused)} are left over")
    state = net.state_dict()
    tensors = {}
    for name, parameter in names.items():
        tensor = model.tensors[name]
        if tensor.shape != tuple(state[parameter].shape):
            raise ValueError(f"{name} is {tensor.shape}, {parameter} {tuple(state[parameter].shape)}")
        tensors[parameter] = torch.tensor(tensor)
    # Not in the file: how many batches each norm has seen in training. Nothing reads it in eval mode.
    counters = {name: value for name, value in state.items() if name.endswith("num_batches_tracked")}
    if absent := sorted(state.keys() - tensors.keys() - counters.keys()):
        raise ValueError(f"nothing was found for {', '.join(absent)}")
    return tensors | counters


def _conv_names(net: PicoDet, model: PaddleModel) -> dict[str, str]:
    """Tensor name to parameter name for all convolutions and the norm or bias that follows each."""
    ops = {op.inputs["Filter"][0]: op for op in model.ops if "Filter" in op.inputs}
    followers = {op.inputs["X"][0]: op for op in model.ops if op.type in ("batch_norm", "elementwise_add")}
    convs = [(name, module) for name, module in net.named_modules() if isinstance(module, nn.Conv2d)]
    if len(ops) != len(convs):
        raise ValueError(f"{len(ops)} convolutions, expected {len(convs)}")
    names = {}
    for filter_name, (path, conv) in zip(sorted(ops, key=_number), convs, strict=True):
        op = ops[filter_name]
        _check_conv(op, conv, path)
        names[filter_name] = f"{path}.weight"
        follower = followers[op.outputs["Output"][0]]
        if conv.bias is not None:
            names[follower.inputs["Y"][0]] = f"{path}.bias"
        else:
            norm = path.removesuffix("conv") + "norm"
            _check_norm(follower, net.get_submodule(norm), norm)
            slots = {"Scale": "weight", "Bias": "bias", "Mean": "running_mean", "Variance": "running_var"}
            names |= {follower.inputs[slot][0]: f"{norm}.{part}" for slot, part in slots.items()}
    return names


def _number(filter_name: str) -> int:
    """12 of "conv2d_12.w_0"."""
    return int(filter_name.removeprefix("conv2d_").removesuffix(".w_0"))


def _check_conv(op: Op, conv: nn.Conv2d, path: str) -> None:
    found = (*op.attributes["strides"], *op.attributes["paddings"], op.attributes["groups"])
    expected = (*conv.stride, *conv.padding, conv.groups)
    if found != expected:
        raise ValueError(f"{path} has strides, paddings, groups {found}, expected {expected}")


def _check_norm(op: Op, norm: nn.Module, path: str) -> None:
    if op.type != "batch_norm" or not isinstance(norm, nn.BatchNorm2d):
        raise ValueError(f"{path} is {op.type}, expected batch_norm")
    if abs(op.attributes["epsilon"] - norm.eps) > 1e-9:  # stored as float32
        raise ValueError(f"{path} has epsilon {op.attributes['epsilon']}, expected {norm.eps}")
