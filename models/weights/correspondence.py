"""Weights of dense-s from the file that `bodystream train dense` writes."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from bodystream.errors import WeightsCorrupt
from bodystream.models.nets.correspondence import Correspondence


def load_correspondence(path: Path) -> Correspondence:
    """The network of a safetensors file, in eval mode.

    Raises WeightsCorrupt where the file is damaged or no safetensors file, and where a tensor is missing, left
    over, or of another shape or type.
    """
    net = Correspondence()
    expected = net.state_dict()
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsCorrupt(
            f"{path}: not a safetensors file ({error}). Train it or fetch it anew."
        ) from error
    problems = [f"{name} is missing" for name in expected if name not in tensors]
    problems += [f"{name} is left over" for name in tensors if name not in expected]
    for name, tensor in tensors.items():
        if name in expected and (tensor.shape, tensor.dtype) != (expected[name].shape, expected[name].dtype):
            wanted = expected[name]
            problems.append(
                f"{name} is {tensor.dtype} {tuple(tensor.shape)} instead of {wanted.dtype} {tuple(wanted.shape)}"
            )
    if problems:
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        raise WeightsCorrupt(f"{path}: not dense-s as it is known: {'; '.join(problems[:3])}{more}.")
    net.load_state_dict(tensors)
    return net.eval()
