"""DenseNet-121: each layer is given the outputs of all before it in its block.

Huang et al., "Densely Connected Convolutional Networks", 2016 (arXiv:1608.06993), table 1, with bottlenecks and
compression (DenseNet-BC, section 3). Parameters are named as torchvision's.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LAYERS_121 = (6, 12, 24, 16)
GROWTH = 32  # k: channels that a layer adds
BOTTLENECK = 4  # a layer's 1×1 gives 4k channels


class DenseNet(nn.Module):
    """Input: float32 (N, 3, H, W), normalised, 29 px or more to a side. `channels` are those of its top."""

    def __init__(
        self, classes: int = 1000, layers: tuple[int, ...] = LAYERS_121, growth: int = GROWTH
    ) -> None:
        super().__init__()
        width = 2 * growth
        self.features = nn.Sequential()
        self.features.add_module("conv0", nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False))
        self.features.add_module("norm0", nn.BatchNorm2d(width))
        self.features.add_module("relu0", nn.ReLU())
        self.features.add_module("pool0", nn.MaxPool2d(3, stride=2, padding=1))
        for number, count in enumerate(layers, 1):
            self.features.add_module(f"denseblock{number}", DenseBlock(width, count, growth))
            width += count * growth
            if number < len(layers):
                self.features.add_module(f"transition{number}", Transition(width))
                width //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(width))
        self.channels = width
        self.classifier = nn.Linear(width, classes)
        for each in self.modules():
            if isinstance(each, nn.Conv2d):  # He et al., 2015, arXiv:1502.01852
                nn.init.kaiming_normal_(each.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes)."""
        maps = F.relu(self.features(x))  # (N, channels, H/32, W/32)
        return self.classifier(maps.mean((2, 3)))  # (N, classes)


class DenseBlock(nn.Module):
    """Layers that each add `growth` channels: (N, C, H, W) to (N, C + count · growth, H, W)."""

    def __init__(self, before: int, count: int, growth: int) -> None:
        super().__init__()
        for number in range(count):
            self.add_module(f"denselayer{number + 1}", DenseLayer(before + number * growth, growth))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        for layer in self.children():
            x = torch.cat([x, layer(x)], dim=1)  # (N, C + growth, H, W), growing
        return x


class DenseLayer(nn.Module):
    """Normalise, activate, 1×1; the same with 3×3: (N, C, H, W) to (N, growth, H, W)."""

    def __init__(self, before: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(before)
        self.conv1 = nn.Conv2d(before, BOTTLENECK * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(BOTTLENECK * growth)
        self.conv2 = nn.Conv2d(BOTTLENECK * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        narrow = self.conv1(F.relu(self.norm1(x)))  # (N, 4 · growth, H, W)
        return self.conv2(F.relu(self.norm2(narrow)))  # (N, growth, H, W)


class Transition(nn.Module):
    """Between blocks, half the channels and half the resolution: (N, C, H, W) to (N, C/2, H/2, W/2)."""

    def __init__(self, before: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(before)
        self.conv = nn.Conv2d(before, before // 2, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return F.avg_pool2d(self.conv(F.relu(self.norm(x))), 2)  # (N, C/2, H/2, W/2)
