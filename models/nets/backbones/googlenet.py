"""GoogLeNet: nine inception modules and two auxiliary classifiers.

Szegedy et al., "Going Deeper with Convolutions", 2014 (arXiv:1409.4842), table 1, with batch normalisation in place
of local responses (Ioffe and Szegedy, 2015, arXiv:1502.03167). Parameters are named and shaped as torchvision's,
whose published weights came from TensorFlow's: the 5×5 branch has 3×3 kernels (pytorch/vision#906), batches are
normalised with an epsilon of 1e-3, and pixels were scaled to -1..1, a mean and deviation of 0.5.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Widths(NamedTuple):
    """Channels of an inception module: table 1's columns."""

    one: int  # 1×1
    reduce_three: int
    three: int
    reduce_five: int
    five: int
    pool: int  # the projection after pooling


class GoogLeNet(nn.Module):
    """Input: float32 (N, 3, H, W), normalised, 15 px or more to a side; made for 224."""

    def __init__(self, classes: int = 1000, auxiliary: bool = True) -> None:
        super().__init__()
        self.conv1 = NormedConv(3, 64, 7, stride=2)
        self.conv2 = NormedConv(64, 64, 1)
        self.conv3 = NormedConv(64, 192, 3)
        self.inception3a = Inception(192, Widths(64, 96, 128, 16, 32, 32))
        self.inception3b = Inception(256, Widths(128, 128, 192, 32, 96, 64))
        self.inception4a = Inception(480, Widths(192, 96, 208, 16, 48, 64))
        self.inception4b = Inception(512, Widths(160, 112, 224, 24, 64, 64))
        self.inception4c = Inception(512, Widths(128, 128, 256, 24, 64, 64))
        self.inception4d = Inception(512, Widths(112, 144, 288, 32, 64, 64))
        self.inception4e = Inception(528, Widths(256, 160, 320, 32, 128, 128))
        self.inception5a = Inception(832, Widths(256, 160, 320, 32, 128, 128))
        self.inception5b = Inception(832, Widths(384, 192, 384, 48, 128, 128))
        if auxiliary:
            self.aux1 = Auxiliary(512, classes)
            self.aux2 = Auxiliary(528, classes)
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(1024, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes)."""
        at_4a = self.inception4a(self._until_4a(x))  # (N, 512, H/16, W/16)
        return self._from_4d(self._until_4d(at_4a))  # (N, classes)

    def with_auxiliary(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of the classifier and of both auxiliary ones, for training, section 5: (N, classes) each."""
        at_4a = self.inception4a(self._until_4a(x))  # (N, 512, H/16, W/16)
        at_4d = self._until_4d(at_4a)  # (N, 528, H/16, W/16)
        return self._from_4d(at_4d), self.aux1(at_4a), self.aux2(at_4d)

    def _until_4a(self, x: Tensor) -> Tensor:
        x = halved(self.conv1(x))  # (N, 64, H/4, W/4)
        x = halved(self.conv3(self.conv2(x)))  # (N, 192, H/8, W/8)
        return halved(self.inception3b(self.inception3a(x)))  # (N, 480, H/16, W/16)

    def _until_4d(self, at_4a: Tensor) -> Tensor:
        return self.inception4d(self.inception4c(self.inception4b(at_4a)))  # (N, 528, H/16, W/16)

    def _from_4d(self, at_4d: Tensor) -> Tensor:
        x = halved(self.inception4e(at_4d), 2)  # (N, 832, H/32, W/32)
        x = self.inception5b(self.inception5a(x))  # (N, 1024, H/32, W/32)
        return self.fc(self.dropout(x.mean((2, 3))))  # (N, classes)


class Inception(nn.Module):
    """1×1, 3×3, 5×5 (here 3×3, see above) and pooling side by side: figure 2b."""

    def __init__(self, before: int, widths: Widths) -> None:
        super().__init__()
        self.branch1 = NormedConv(before, widths.one, 1)
        self.branch2 = nn.Sequential(
            NormedConv(before, widths.reduce_three, 1), NormedConv(widths.reduce_three, widths.three, 3)
        )
        self.branch3 = nn.Sequential(
            NormedConv(before, widths.reduce_five, 1), NormedConv(widths.reduce_five, widths.five, 3)
        )
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), NormedConv(before, widths.pool, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) to (N, one + three + five + pool, H, W)."""
        branches = [self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)]
        return torch.cat(branches, dim=1)  # (N, one + three + five + pool, H, W)


class Auxiliary(nn.Module):
    """A classifier half way, that gradients may reach the lower layers: section 5."""

    def __init__(self, before: int, classes: int) -> None:
        super().__init__()
        self.conv = NormedConv(before, 128, 1)
        self.fc1 = nn.Linear(2048, 1024)
        self.fc2 = nn.Linear(1024, classes)
        self.dropout = nn.Dropout(0.7)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes)."""
        x = self.conv(F.adaptive_avg_pool2d(x, 4))  # (N, 128, 4, 4)
        x = F.relu(self.fc1(x.flatten(1)))  # (N, 1024)
        return self.fc2(self.dropout(x))  # (N, classes)


class NormedConv(nn.Module):
    """A convolution that keeps the resolution but for its stride, normalised and activated."""

    def __init__(self, before: int, after: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(after, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) to (N, after, H / stride, W / stride)."""
        return F.relu(self.bn(self.conv(x)))  # (N, after, H / stride, W / stride)


def halved(x: Tensor, kernel: int = 3) -> Tensor:
    """Pooled, odd sizes rounded up, as Caffe does: (N, C, H, W) to (N, C, H/2, W/2)."""
    return F.max_pool2d(x, kernel, stride=2, ceil_mode=True)  # (N, C, H/2, W/2)
