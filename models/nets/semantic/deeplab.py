"""DeepLab: atrous convolution, so that classes are told at an eighth of the resolution and by much context.

Version 3: Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017 (arXiv:1706.05587);
parameters are named as torchvision's, whose published weights it takes. Version 1, LargeFOV: "Semantic Image
Segmentation with Deep Convolutional Nets and Fully Connected CRFs", 2015 (arXiv:1412.7062), and version 2, ASPP-L:
"DeepLab: Semantic Image Segmentation with Deep Convolutional Nets, Atrous Convolution, and Fully Connected CRFs",
2016 (arXiv:1606.00915); their layers are named as in the authors' Caffe models. The conditional random fields that
follow in versions 1 and 2, and version 2's maximum over three scales, are not here.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bodystream.models.nets.backbones.resnet import ResNet
from bodystream.models.nets.semantic.fcn import CLASSES, Fcn, resized

RATES_V3 = (12, 24, 36)  # at a stride of 8, twice those at 16: section 3.3
RATES_V2 = (6, 12, 18, 24)  # ASPP-L: section 4.1
WIDTH_V3 = 256  # channels of each branch: section 3.3
FIELD_V1 = 12  # the rate of LargeFOV's fc6, 3×3: the paper's comparison of fields of view, and its model


class DeepLabV3(Fcn):
    """As `Fcn`, with another classifier upon C5."""

    def __init__(self, trunk: ResNet, classes: int = CLASSES, auxiliary: bool = True) -> None:
        super().__init__(trunk, classes, auxiliary, head=DeepLabV3Head)


class DeepLabV3Head(nn.Sequential):
    """ASPP, a hidden 3×3, then classes: (N, C, h, w) to (N, classes, h, w)."""

    def __init__(self, before: int, classes: int) -> None:
        super().__init__(
            Aspp(before),
            nn.Conv2d(WIDTH_V3, WIDTH_V3, 3, padding=1, bias=False),
            nn.BatchNorm2d(WIDTH_V3),
            nn.ReLU(),
            nn.Conv2d(WIDTH_V3, classes, 1),
        )


class Aspp(nn.Module):
    """Atrous spatial pyramid pooling, version 3's: 1×1, 3×3 at three rates and the whole picture's mean."""

    def __init__(self, before: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList([
            nn.Sequential(*normed(before, 1)),
            *(nn.Sequential(*normed(before, 3, rate)) for rate in RATES_V3),
            nn.Sequential(nn.AdaptiveAvgPool2d(1), *normed(before, 1)),
        ])  # fmt: skip
        self.project = nn.Sequential(*normed(len(self.convs) * WIDTH_V3, 1), nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) to (N, 256, h, w)."""
        *local, mean = [branch(x) for branch in self.convs]  # (N, 256, h, w) four times, (N, 256, 1, 1)
        everywhere = mean.expand(-1, -1, *x.shape[-2:])  # (N, 256, h, w)
        return self.project(torch.cat([*local, everywhere], dim=1))  # (N, 256, h, w)


def normed(before: int, kernel: int, rate: int = 1) -> list[nn.Module]:
    """A convolution to 256 channels at the same resolution, normalised and activated."""
    padding = rate * (kernel // 2)
    conv = nn.Conv2d(before, WIDTH_V3, kernel, padding=padding, dilation=rate, bias=False)
    return [conv, nn.BatchNorm2d(WIDTH_V3), nn.ReLU()]


class DeepLabV2(nn.Module):
    """Input: float32 (N, 3, H, W), normalised. `trunk` is a ResNet-101 without `fc`, C4 and C5 dilated.

    `ResNet` spreads the first block of a dilated stage less than its others, as torchvision's; the authors' does not.
    """

    def __init__(self, trunk: ResNet, classes: int = CLASSES) -> None:
        super().__init__()
        self.backbone = trunk
        for number, rate in enumerate(RATES_V2):
            branch = nn.Conv2d(trunk.channels[-1], classes, 3, padding=rate, dilation=rate)
            nn.init.normal_(branch.weight, std=0.01)  # as the authors' model
            self.add_module(f"fc1_voc12_c{number}", branch)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes, H, W): the sum of what four rates see, figure 4."""
        *_, c5 = self.backbone.stages(x)  # (N, C, H/8, W/8)
        branches = [self.get_submodule(f"fc1_voc12_c{number}")(c5) for number in range(len(RATES_V2))]
        return resized(torch.stack(branches).sum(0), x)  # (N, classes, H, W)


class DeepLabV1(nn.Module):
    """DeepLab-LargeFOV on VGG-16. Input: float32 (N, 3, H, W), normalised.

    `width` is that of the first group of convolutions, `hidden` that of fc6 and fc7.
    """

    def __init__(self, classes: int = CLASSES, width: int = 64, hidden: int = 1024) -> None:
        super().__init__()
        before = 3
        for group, (count, times, rate) in enumerate(GROUPS_V1, 1):
            for number in range(1, count + 1):
                conv = nn.Conv2d(before, width * times, 3, padding=rate, dilation=rate)
                self.add_module(f"conv{group}_{number}", conv)
                before = width * times
        self.fc6 = nn.Conv2d(before, hidden, 3, padding=FIELD_V1, dilation=FIELD_V1)
        self.fc7 = nn.Conv2d(hidden, hidden, 1)
        self.fc8_voc12 = nn.Conv2d(hidden, classes, 1)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes, H, W)."""
        maps = x
        for group, (count, _, _) in enumerate(GROUPS_V1, 1):
            for number in range(1, count + 1):
                maps = F.relu(self.get_submodule(f"conv{group}_{number}")(maps))  # (N, C, H/s, W/s), s 1 .. 8
            stride = 2 if group <= 3 else 1  # the last two poolings keep the resolution: section 3.1
            maps = F.max_pool2d(maps, 3, stride, padding=1)  # (N, C, H/s, W/s), s 2 .. 8
        maps = F.avg_pool2d(maps, 3, stride=1, padding=1)  # (N, 512, H/8, W/8)
        maps = self.dropout(F.relu(self.fc6(maps)))  # (N, hidden, H/8, W/8)
        maps = self.dropout(F.relu(self.fc7(maps)))  # (N, hidden, H/8, W/8)
        return resized(self.fc8_voc12(maps), x)  # (N, classes, H, W)


# Of VGG-16's groups: convolutions, channels as multiples of the first, and the rate, 2 behind the poolings that
# keep the resolution: section 3.1.
GROUPS_V1 = ((2, 1, 1), (2, 2, 1), (3, 4, 1), (3, 8, 1), (3, 8, 2))
