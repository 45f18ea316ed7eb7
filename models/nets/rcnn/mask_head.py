"""The mask head: which pixels of a box are the object's.

He et al., "Mask R-CNN", 2017 (arXiv:1703.06870), section 3 and figure 4 right: 14 × 14 bins, four 3×3
convolutions, doubled once, a mask for every class. Parameters are named as torchvision's; it has a mask for the
background too, the first, and detectron2 none.
"""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

BINS = 14


class MaskHead(nn.Sequential):
    """3×3 convolutions of equal width."""

    def __init__(self, before: int, channels: int, convolutions: int) -> None:
        widths = [before] + [channels] * convolutions
        super().__init__(
            *(nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.ReLU()) for a, b in pairwise(widths))
        )
        initialise(self)


class MaskPredictor(nn.Module):
    """Doubles the resolution, then a mask for every class."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.conv5_mask = nn.ConvTranspose2d(channels, channels, 2, 2)
        self.mask_fcn_logits = nn.Conv2d(channels, classes, 1)
        initialise(self)
        nn.init.normal_(self.mask_fcn_logits.weight, std=0.001)  # starts undecided, as detectron2's

    def forward(self, x: Tensor) -> Tensor:
        """(R, C, 14, 14) to logits (R, classes, 28, 28)."""
        return self.mask_fcn_logits(F.relu(self.conv5_mask(x)))  # (R, classes, 28, 28)


def initialise(module: nn.Module) -> None:
    """Deviations of He et al., 2015 (arXiv:1502.01852), biases zero, in place."""
    for each in module.modules():
        if isinstance(each, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(each.weight, mode="fan_out", nonlinearity="relu")
            if each.bias is not None:
                nn.init.zeros_(each.bias)
