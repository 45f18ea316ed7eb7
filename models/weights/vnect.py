"""Weights of VNect: its authors' Caffe file, as the network here names them."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor


def from_caffe(blobs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A Caffe file's blobs ("conv1.0", "conv1.1") as parameters ("conv1.weight", "conv1.bias").

    A layer of three blobs is a BatchNorm: sums of means and of variances, and how much they are sums of. Its
    weight and bias are a Scale layer's, "scale5c_branch2a" to "bn5c_branch2a". Blobs of vectors have one axis
    here, and four in old files.
    """
    layers: dict[str, list[Tensor]] = {}
    for name, blob in blobs.items():  # in their order
        layers.setdefault(name.rpartition(".")[0], []).append(blob)
    parameters: dict[str, Tensor] = {}
    for layer, parts in layers.items():
        if len(parts) == 3:
            count = parts[2].flatten()
            scale = 1 / count if count.any() else torch.zeros(1)  # as Caffe does with no statistics
            parameters[f"{layer}.running_mean"] = parts[0].flatten() * scale
            parameters[f"{layer}.running_var"] = parts[1].flatten() * scale
        else:
            target = re.sub(r"^scale(?=\d|_)", "bn", layer)
            vectors = target != layer
            parameters[f"{target}.weight"] = parts[0].flatten() if vectors else parts[0]
            parameters |= {
                f"{target}.{name}": each.flatten() for name, each in zip(_MORE, parts[1:], strict=False)
            }
    return parameters


_MORE = (
    "bias",
    "more.0",
    "more.1",
    "more.2",
)  # no layer of the network has more than a bias: told as unexpected
