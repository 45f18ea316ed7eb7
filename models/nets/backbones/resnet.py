"""ResNet-18, -34, -50 and -101: a trunk of four stages, and the classifier that it was published as.

He et al., "Deep Residual Learning for Image Recognition", 2015 (arXiv:1512.03385), table 1. The bottleneck
halves the resolution in its 3×3 convolution, as torchvision's does, or in its first 1×1, as the paper's, MSRA's
and so detectron2's does. A stage can keep the resolution and widen its kernels instead (Yu et al., dilated
residual networks, 2017, arXiv:1705.09914), as DeepLab wants it. Parameters are named as torchvision's.
"""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

Norm = Callable[[int], nn.Module]  # makes the normalisation of so many channels

STAGES = 4  # C2, C3, C4, C5 of the literature: 1/4, 1/8, 1/16, 1/32 of the picture


class BasicBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut: ResNet-18 and -34."""

    expansion = 1

    def __init__(
        self, before: int, width: int, stride: int, dilation: int, norm: Norm, stride_in_1x1: bool
    ) -> None:
        super().__init__()
        del stride_in_1x1  # there is no 1×1
        self.conv1 = conv(before, width, 3, stride, dilation)
        self.bn1 = norm(width)
        self.conv2 = conv(width, width, 3, 1, dilation)
        self.bn2 = norm(width)
        self.downsample = shortcut(before, width, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) to (N, width, H / stride, W / stride)."""
        y = F.relu(self.bn1(self.conv1(x)))  # (N, width, H / stride, W / stride)
        y = self.bn2(self.conv2(y))  # (N, width, H / stride, W / stride)
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))

    def last_norm(self) -> nn.Module:
        """The normalisation before the addition."""
        return self.bn2


class Bottleneck(nn.Module):
    """1×1 to a narrow tensor, 3×3, 1×1 to four times the width, beside a shortcut: ResNet-50 and -101."""

    expansion = 4

    def __init__(
        self, before: int, width: int, stride: int, dilation: int, norm: Norm, stride_in_1x1: bool
    ) -> None:
        super().__init__()
        first, second = (stride, 1) if stride_in_1x1 else (1, stride)
        wide = width * self.expansion
        self.conv1 = conv(before, width, 1, first)
        self.bn1 = norm(width)
        self.conv2 = conv(width, width, 3, second, dilation)
        self.bn2 = norm(width)
        self.conv3 = conv(width, wide, 1)
        self.bn3 = norm(wide)
        self.downsample = shortcut(before, wide, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) to (N, 4 · width, H / stride, W / stride)."""
        y = F.relu(self.bn1(self.conv1(x)))  # (N, width, H or H / stride, ...)
        y = F.relu(self.bn2(self.conv2(y)))  # (N, width, H / stride, W / stride)
        y = self.bn3(self.conv3(y))  # (N, 4 · width, H / stride, W / stride)
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))

    def last_norm(self) -> nn.Module:
        """The normalisation before the addition."""
        return self.bn3


Block = type[BasicBlock] | type[Bottleneck]


class ResNet(nn.Module):
    """Input: float32 (N, 3, H, W), normalised. `channels` are those of C2, C3, C4, C5.

    `classes` 0 leaves the classifier `fc` out. `dilate` tells for C3, C4, C5 whether kernels are spread instead
    of the resolution halved. `zero_init` starts each block as its shortcut (Goyal et al., 2017,
    arXiv:1706.02677, section 5.1).
    """

    layer1: nn.Sequential  # C2
    layer2: nn.Sequential  # C3
    layer3: nn.Sequential  # C4
    layer4: nn.Sequential  # C5

    def __init__(
        self,
        block: Block,
        layers: tuple[int, int, int, int],
        classes: int = 1000,
        *,
        norm: Norm = nn.BatchNorm2d,
        width: int = 64,
        stride_in_1x1: bool = False,
        dilate: tuple[bool, bool, bool] = (False, False, False),
        zero_init: bool = False,
    ) -> None:
        super().__init__()
        self.channels = tuple(width * 2**k * block.expansion for k in range(STAGES))
        self.conv1 = conv(3, width, 7, 2)
        self.bn1 = norm(width)
        before, dilation = width, 1
        for k, (blocks, spread) in enumerate(zip(layers, (False, *dilate), strict=True)):
            halves = k > 0 and not spread
            stage = nn.Sequential()
            for number in range(blocks):
                stride = 2 if halves and number == 0 else 1
                # The first block still works on what the stage before gave, as torchvision's does.
                reach = dilation * 2 if spread and number > 0 else dilation
                stage.append(block(before, width * 2**k, stride, reach, norm, stride_in_1x1))
                before = self.channels[k]
            dilation = dilation * 2 if spread else dilation
            self.add_module(f"layer{k + 1}", stage)
        if classes:
            self.fc = nn.Linear(before, classes)
        for each in self.modules():
            if isinstance(each, nn.Conv2d):  # He et al., 2015, arXiv:1502.01852
                nn.init.kaiming_normal_(each.weight, mode="fan_out", nonlinearity="relu")
        if zero_init:
            for each in self.modules():
                if isinstance(each, BasicBlock | Bottleneck):
                    nn.init.zeros_(each.last_norm().weight)  # type: ignore[arg-type] # a norm's, a tensor

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes)."""
        top = self.stages(x)[-1]  # (N, C5, H/32, W/32)
        return self.fc(top.mean((2, 3)))  # (N, classes)

    def stages(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """C2, C3, C4, C5: (N, C, H/4, W/4), /8, /16, /32, odd sizes rounded up; less where dilated."""
        x = F.relu(self.bn1(self.conv1(x)))  # (N, width, H/2, W/2)
        x = F.max_pool2d(x, 3, stride=2, padding=1)  # (N, width, H/4, W/4)
        c2 = self.layer1(x)  # (N, C, H/4, W/4)
        c3 = self.layer2(c2)  # (N, 2C, H/8, W/8)
        c4 = self.layer3(c3)  # (N, 4C, H/16, W/16)
        return c2, c3, c4, self.layer4(c4)  # (N, 8C, H/32, W/32)


def conv(before: int, after: int, kernel: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """A convolution that keeps the resolution but for its stride; the normalisation brings the bias."""
    padding = dilation * (kernel // 2)
    return nn.Conv2d(before, after, kernel, stride, padding, dilation, bias=False)


def shortcut(before: int, after: int, stride: int, norm: Norm) -> nn.Sequential | None:
    """The projection of the paper's option B; None where input and output are of one shape."""
    if before == after and stride == 1:
        return None
    return nn.Sequential(conv(before, after, 1, stride), norm(after))


LAYERS: dict[str, tuple[Block, tuple[int, int, int, int]]] = {
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet34": (BasicBlock, (3, 4, 6, 3)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
    "resnet101": (Bottleneck, (3, 4, 23, 3)),
}


def resnet(
    name: str,
    classes: int = 1000,
    *,
    norm: Norm = nn.BatchNorm2d,
    width: int = 64,
    stride_in_1x1: bool = False,
    dilate: tuple[bool, bool, bool] = (False, False, False),
    zero_init: bool = False,
) -> ResNet:
    """The ResNet of a name of LAYERS; see the class."""
    block, layers = LAYERS[name]
    return ResNet(
        block,
        layers,
        classes,
        norm=norm,
        width=width,
        stride_in_1x1=stride_in_1x1,
        dilate=dilate,
        zero_init=zero_init,
    )
