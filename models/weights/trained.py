"""Weights of bodystream's own networks, from the files that `bodystream train` writes."""

from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from bodystream.errors import WeightsCorrupt

N = TypeVar("N", bound=nn.Module)


def load_trained(path: Path, net: N, name: str) -> N:
    """Put a safetensors file's tensors into the network, called `name`; it comes back in eval mode.

    Raises WeightsCorrupt where the file is damaged or no safetensors file, and where a tensor is missing, left
    over, or of another shape or type.
    """
    expected = net.state_dict()
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsCorrupt(
            f"{path}: not a safetensors file ({error}). Train it or fetch it anew."
        ) from error
    problems = [f"{each} is missing" for each in expected if each not in tensors]
    problems += [f"{each} is left over" for each in tensors if each not in expected]
    for each, tensor in tensors.items():
        if each in expected and (tensor.shape, tensor.dtype) != (expected[each].shape, expected[each].dtype):
            wanted = expected[each]
            problems.append(
                f"{each} is {tensor.dtype} {tuple(tensor.shape)} instead of {wanted.dtype} {tuple(wanted.shape)}"
            )
    if problems:
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        raise WeightsCorrupt(f"{path}: not {name} as it is known: {'; '.join(problems[:3])}{more}.")
    net.load_state_dict(tensors)
    return net.eval()
