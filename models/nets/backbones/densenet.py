"""DenseNet-121: each layer is given the outputs of all before it in its block.

Huang et al., "Densely Connected Convolutional Networks", 2016 (arXiv:1608.06993), table 1, with bottlenecks and
compression (DenseNet-BC, section 3). Parameters are named as torchvision's.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bodystream.models.nets.backbones.resnet import Norm

LAYERS_121 = (6, 12, 24, 16)
GROWTH = 32  # k: channels that a layer adds
BOTTLENECK = 4  # a layer's 1×1 gives 4k channels


class DenseNet(nn.Module):
    """Input: float32 (N, 3, H, W), normalised, 29 px or more to a side.

    `channels` are those of what `stages` gives. `classes` 0 leaves the classifier out.
    """

    def __init__(
        self,
        classes: int = 1000,
        layers: tuple[int, ...] = LAYERS_121,
        growth: int = GROWTH,
        *,
        norm: Norm = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        width, channels = 2 * growth, []
        self.features = nn.Sequential()
        self.features.add_module("conv0", nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False))
        self.features.add_module("norm0", norm(width))
        self.features.add_module("relu0", nn.ReLU())
        self.features.add_module("pool0", nn.MaxPool2d(3, stride=2, padding=1))
        for number, count in enumerate(layers, 1):
            self.features.add_module(f"denseblock{number}", DenseBlock(width, count, growth, norm))
            width += count * growth
            channels.append(width)
            if number < len(layers):
                self.features.add_module(f"transition{number}", Transition(width, norm))
                width //= 2
        self.features.add_module("norm5", norm(width))
        self.channels = tuple(channels)
        if classes:
            self.classifier = nn.Linear(width, classes)
        for each in self.modules():
            if isinstance(each, nn.Conv2d):  # He et al., 2015, arXiv:1502.01852
                nn.init.kaiming_normal_(each.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes)."""
        top = self.stages(x)[-1]  # (N, C, H/32, W/32)
        return self.classifier(top.mean((2, 3)))  # (N, classes)

    def stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """What each block gives, the last normalised and activated: (N, C, H/4, W/4), /8, /16, /32."""
        maps = []
        for layer in self.features:
            x = layer(x)  # (N, C, H, W), of the layer
            if isinstance(layer, DenseBlock):
                maps.append(x)
        return *maps[:-1], F.relu(x)  # (N, C, H/32, W/32)


class DenseBlock(nn.Module):
    """Layers that each add `growth` channels: (N, C, H, W) to (N, C + count · growth, H, W)."""

    def __init__(self, before: int, count: int, growth: int, norm: Norm) -> None:
        super().__init__()
        for number in range(count):
            self.add_module(f"denselayer{number + 1}", DenseLayer(before + number * growth, growth, norm))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        for layer in self.children():
            x = torch.cat([x, layer(x)], dim=1)  # (N, C + growth, H, W), growing
        return x


class DenseLayer(nn.Module):
    """Normalise, activate, 1×1; the same with 3×3: (N, C, H, W) to (N, growth, H, W)."""

    def __init__(self, before: int, growth: int, norm: Norm) -> None:
        super().__init__()
        self.norm1 = norm(before)
        self.conv1 = nn.Conv2d(before, BOTTLENECK * growth, 1, bias=False)
        self.norm2 = norm(BOTTLENECK * growth)
        self.conv2 = nn.Conv2d(BOTTLENECK * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        narrow = self.conv1(F.relu(self.norm1(x)))  # (N, 4 · growth, H, W)
        return self.conv2(F.relu(self.norm2(narrow)))  # (N, growth, H, W)


class Transition(nn.Module):
    """Between blocks, half the channels and half the resolution: (N, C, H, W) to (N, C/2, H/2, W/2)."""

    def __init__(self, before: int, norm: Norm) -> None:
        super().__init__()
        self.norm = norm(before)
        self.conv = nn.Conv2d(before, before // 2, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return F.avg_pool2d(self.conv(F.relu(self.norm(x))), 2)  # (N, C/2, H/2, W/2)
