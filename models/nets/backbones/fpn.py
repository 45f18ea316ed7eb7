"""The feature pyramid: every level of a trunk with the meaning of the levels above it.

Lin et al., "Feature Pyramid Networks for Object Detection", 2017 (arXiv:1612.03144), section 3: a 1×1 convolution
of each level, the level above it enlarged to the nearest cell and added, a 3×3 convolution against aliasing. P6
is every other cell of P5 (footnote 2 there). Parameters are named as torchvision's.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class FeaturePyramid(nn.Module):
    """C2..C5 of the given channels to P2..P6 of equal channels."""

    def __init__(self, before: Sequence[int], channels: int) -> None:
        super().__init__()
        self.inner_blocks = nn.ModuleList(nn.Sequential(nn.Conv2d(each, channels, 1)) for each in before)
        self.layer_blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1)) for _ in before
        )
        for each in self.modules():
            if isinstance(each, nn.Conv2d):
                nn.init.kaiming_uniform_(each.weight, a=1)
                assert each.bias is not None  # told to the type checker
                nn.init.zeros_(each.bias)

    def forward(self, stages: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """(B, C, H/4, W/4) .. (B, C, H/32, W/32) to P2..P6, the last (B, channels, H/64, W/64) rounded up."""
        laterals = [block(stage) for block, stage in zip(self.inner_blocks, stages, strict=True)]
        merged = laterals[-1]  # (B, channels, H/32, W/32)
        levels = [self.layer_blocks[-1](merged)]
        for lateral, block in zip(laterals[-2::-1], list(self.layer_blocks)[-2::-1], strict=True):
            merged = lateral + F.interpolate(
                merged, size=lateral.shape[-2:], mode="nearest"
            )  # twice as large
            levels.insert(0, block(merged))
        return *levels, levels[-1][:, :, ::2, ::2]  # the last: (B, channels, H/64, W/64)
