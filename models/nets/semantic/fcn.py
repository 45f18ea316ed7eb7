"""FCN: a classifier at every place of a ResNet that keeps its resolution at an eighth.

Long et al., "Fully Convolutional Networks for Semantic Segmentation", 2015 (arXiv:1411.4038), section 3, in the form
that torchvision publishes weights of: a dilated ResNet in place of VGG, a hidden 3×3 convolution, and no skips to
finer layers (the paper's FCN-32s, but at a stride of 8). Parameters are named as torchvision's.
"""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from bodystream.models.nets.backbones.resnet import ResNet

CLASSES = 21  # of Pascal VOC, background first


class Fcn(nn.Module):
    """Input: float32 (N, 3, H, W), normalised. `trunk` is a ResNet without `fc`, C4 and C5 dilated.

    `head` makes the classifier upon C5 of its channels and the number of classes.
    """

    def __init__(
        self,
        trunk: ResNet,
        classes: int = CLASSES,
        auxiliary: bool = True,
        head: Callable[[int, int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        *_, c4, c5 = trunk.channels
        self.backbone = trunk
        self.classifier = (head or FcnHead)(c5, classes)
        if auxiliary:
            self.aux_classifier = FcnHead(c4, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes, H, W)."""
        *_, c5 = self.backbone.stages(x)  # (N, C, H/8, W/8)
        return resized(self.classifier(c5), x)  # (N, classes, H, W)

    def with_auxiliary(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, and those of the classifier upon C4, for training: (N, classes, H, W) each."""
        *_, c4, c5 = self.backbone.stages(x)  # (N, C, H/8, W/8) each
        return resized(self.classifier(c5), x), resized(self.aux_classifier(c4), x)


class FcnHead(nn.Sequential):
    """A quarter of the channels, then classes: (N, C, h, w) to (N, classes, h, w)."""

    def __init__(self, before: int, classes: int) -> None:
        narrow = before // 4
        super().__init__(
            nn.Conv2d(before, narrow, 3, padding=1, bias=False),
            nn.BatchNorm2d(narrow),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Conv2d(narrow, classes, 1),
        )


def resized(maps: Tensor, like: Tensor) -> Tensor:
    """Bilinear, pixel centres at halves: (N, C, h, w) to (N, C, H, W), the size of `like`."""
    return F.interpolate(maps, size=like.shape[-2:], mode="bilinear", align_corners=False)  # (N, C, H, W)
