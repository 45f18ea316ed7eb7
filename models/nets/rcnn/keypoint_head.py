"""The keypoint head: for each joint of a person, where in the box it is.

He et al., "Mask R-CNN", 2017 (arXiv:1703.06870), section 5: 14 × 14 bins, eight 3×3 convolutions, a transposed
convolution and a bilinear enlargement to 56 × 56, a softmax over all places of a joint. torchvision and
detectron2 agree. Parameters are named as torchvision's.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from bodystream.models.nets.rcnn.mask_head import initialise

BINS = 14


class KeypointHead(nn.Sequential):
    """3×3 convolutions of equal width, each with its rectification."""

    def __init__(self, before: int, channels: int, convolutions: int) -> None:
        layers: list[nn.Module] = []
        for number in range(convolutions):
            layers += [nn.Conv2d(channels if number else before, channels, 3, padding=1), nn.ReLU()]
        super().__init__(*layers)
        initialise(self)


class KeypointPredictor(nn.Module):
    """Four times the resolution, a heatmap for every joint."""

    def __init__(self, channels: int, keypoints: int) -> None:
        super().__init__()
        self.kps_score_lowres = nn.ConvTranspose2d(channels, keypoints, 4, 2, 1)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """(R, C, 14, 14) to logits (R, J, 56, 56)."""
        x = self.kps_score_lowres(x)  # (R, J, 28, 28)
        return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)  # (R, J, 56, 56)
