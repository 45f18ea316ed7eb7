"""Normalisations of a trunk that detects: batch statistics that stay as they are, or none at all.

Detectors see few pictures at once, so batch normalisation keeps what it learnt as a classifier: an affine map
(He et al., "Mask R-CNN", 2017, arXiv:1703.06870, section 3.1). A trunk trained from nothing has nothing to keep
and takes group normalisation (Wu and He, 2018, arXiv:1803.08494; He et al., "Rethinking ImageNet pre-training",
2018, arXiv:1811.08883).
"""

from functools import partial

import torch
from torch import Tensor, nn

from bodystream.models.nets.backbones.resnet import Norm

GROUP = (
    8  # channels that share a mean, at least: a trunk of 32 channels then has groups of 8, one of 256 of 8
)
GROUPS = 32  # at most, the paper's table 3


class FrozenBatchNorm(nn.Module):
    """Batch normalisation whose four vectors (C,) are constants, named as torchvision's."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        scale = self.weight * (self.running_var + self.eps).rsqrt()  # (C,)
        shift = self.bias - self.running_mean * scale  # (C,)
        return x * scale[:, None, None] + shift[:, None, None]


def norm(kind: str, eps: float) -> Norm:
    """What makes normalisations of a kind: "frozen", "batch" or "group". Raises KeyError for another.

    torchvision's published detectors were trained without an epsilon in their frozen ones, detectron2's with 1e-5.
    """
    kinds: dict[str, Norm] = {
        "frozen": partial(FrozenBatchNorm, eps=eps),
        "batch": nn.BatchNorm2d,
        "group": group_norm,
    }
    return kinds[kind]


def group_norm(channels: int) -> nn.GroupNorm:
    """Group normalisation, in groups of GROUP channels or more; of one group where they do not divide."""
    groups = max(1, min(GROUPS, channels // GROUP))
    return nn.GroupNorm(groups if channels % groups == 0 else 1, channels)
