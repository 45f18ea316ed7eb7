"""PicoDet-S: LCNet backbone, LC-PAN neck, one light head for each of four levels.

Yu et al. 2021, "PP-PicoDet: A Better Real-Time Object Detector on Mobile Devices", section 3; backbone from
Cui et al. 2021, "PP-LCNet: A Lightweight CPU Convolutional Neural Network", table 1 at width 0.75; neck and
head as in PaddleDetection's configuration `picodet_s_416_coco_lcnet`. Boxes are learnt as distributions over
distances: Li et al. 2020, "Generalized Focal Loss", section 3.2.

Modules are registered in the order in which the original numbers its layers; `weights/picodet.py` counts on
it. Sizes in the comments are those of the 416 × 416 input that the weights were trained for.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

INPUT_SIZE = 416  # px, the size that the original weights were trained and exported for
CLASSES = 80  # COCO's things; person is number 0
STRIDES = (8, 16, 32, 64)  # input px per cell of the four levels
BINS = 8  # distances 0..7 cells: `reg_max: 7` of the configuration


class PicoDet(nn.Module):
    """Image to class scores and box distributions at every cell of four levels, before NMS.

    `centres` (P, 2) holds each cell's centre (x, y), in cells of its own level; `strides` (P, 1) the px of
    such a cell; `distances` (8,) the distance that each bin stands for, in cells.
    P = 52² + 26² + 13² + 7² = 3598.
    """

    centres: Tensor
    strides: Tensor
    distances: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.backbone = LCNet()
        self.neck = Neck(in_channels=(96, 192, 384), channels=96)
        self.features = nn.ModuleList(LevelFeatures(96) for _ in STRIDES)
        self.outputs = nn.ModuleList(LevelOutputs(96) for _ in STRIDES)
        centres, strides = _grid()
        self.register_buffer("centres", centres)
        self.register_buffer("strides", strides)
        self.register_buffer("distances", torch.arange(BINS, dtype=torch.float32))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """`image` is float32 (N, 3, 416, 416), RGB, normalised with ImageNet's mean and deviation.

        Returns scores (N, 80, P), 0..1, and the logits of the box distributions (N, P, 4, 8): the distances
        from the cell's centre to the left, top, right and bottom side, over eight bins. `boxes` decodes them.
        """
        scores, logits = [], []
        levels = self.neck(self.backbone(image))
        for level, features, outputs in zip(levels, self.features, self.outputs, strict=True):
            score, distribution = outputs(*features(level))
            scores.append(score.flatten(2))  # (N, 80, h·w)
            logits.append(distribution.flatten(2).transpose(1, 2).unflatten(2, (4, BINS)))  # (N, h·w, 4, 8)
        return torch.cat(scores, dim=2), torch.cat(logits, dim=1)  # (N, 80, P), (N, P, 4, 8)

    def boxes(self, logits: Tensor) -> Tensor:
        """Boxes (N, P, 4), x0 y0 x1 y1 in px of the input, from the logits of their distributions."""
        # Not `@`: a matrix product with one column takes onnxruntime 1.31 0.9 ms here, this 0.1 ms.
        sides = (F.softmax(logits, dim=3) * self.distances).sum(dim=3)  # (N, P, 4), mean distance in cells
        left_top = self.centres - sides[..., :2]  # (N, P, 2)
        right_bottom = self.centres + sides[..., 2:]  # (N, P, 2)
        return torch.cat((left_top, right_bottom), dim=2) * self.strides  # (N, P, 4)


class LCNet(nn.Module):
    """Backbone: depthwise separable convolutions, 5 × 5 and squeeze-and-excitation only where they pay."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(3, 16, kernel=3, stride=2)
        self.stride_8 = nn.Sequential(
            Separable(16, 24, kernel=3),
            Separable(24, 48, kernel=3, stride=2),
            Separable(48, 48, kernel=3),
            Separable(48, 96, kernel=3, stride=2),
            Separable(96, 96, kernel=3),
        )
        self.stride_16 = nn.Sequential(
            Separable(96, 192, kernel=3, stride=2), *(Separable(192, 192, kernel=5) for _ in range(5))
        )
        self.stride_32 = nn.Sequential(
            Separable(192, 384, kernel=5, stride=2, squeeze=True), Separable(384, 384, kernel=5, squeeze=True)
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features at strides 8, 16 and 32."""
        c3 = self.stride_8(self.stem(image))  # (N, 96, 52, 52)
        c4 = self.stride_16(c3)  # (N, 192, 26, 26)
        c5 = self.stride_32(c4)  # (N, 384, 13, 13)
        return c3, c4, c5


class Neck(nn.Module):
    """LC-PAN: all levels at one width, mixed from coarse to fine and back, and a fourth, coarser level."""

    def __init__(self, in_channels: tuple[int, int, int], channels: int) -> None:
        super().__init__()
        self.reduce = nn.ModuleList(ConvNorm(width, channels, kernel=1) for width in in_channels)
        self.top_from_reduced = Separable(channels, channels, kernel=5, stride=2)
        self.top_from_mixed = Separable(channels, channels, kernel=5, stride=2)
        self.down_to_16 = _mix(channels)
        self.down_to_8 = _mix(channels)
        self.halve_8 = Separable(channels, channels, kernel=5, stride=2)
        self.up_to_16 = _mix(channels)
        self.halve_16 = Separable(channels, channels, kernel=5, stride=2)
        self.up_to_32 = _mix(channels)

    def forward(self, features: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Features of 96 channels at strides 8, 16, 32 and 64."""
        c3, c4, c5 = (reduce(level) for reduce, level in zip(self.reduce, features, strict=True))
        m4 = self.down_to_16(torch.cat((_double(c5), c4), dim=1))  # (N, 96, 26, 26)
        p3 = self.down_to_8(torch.cat((_double(m4), c3), dim=1))  # (N, 96, 52, 52)
        p4 = self.up_to_16(torch.cat((self.halve_8(p3), m4), dim=1))  # (N, 96, 26, 26)
        p5 = self.up_to_32(torch.cat((self.halve_16(p4), c5), dim=1))  # (N, 96, 13, 13)
        p6 = self.top_from_reduced(c5) + self.top_from_mixed(p5)  # (N, 96, 7, 7)
        return p3, p4, p5, p6


class LevelFeatures(nn.Module):
    """Head, first half: what one level's classes and boxes share."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Sequential(*(Separable(channels, channels, kernel=5) for _ in range(2)))
        self.weigh = nn.Conv2d(channels, channels, 1)
        self.project = ConvNorm(channels, channels, kernel=1)

    def forward(self, level: Tensor) -> tuple[Tensor, Tensor]:
        """Features before and after their channels are weighed, both (N, 96, h, w)."""
        mixed = self.mix(level)  # (N, 96, h, w)
        weights = torch.sigmoid(self.weigh(F.adaptive_avg_pool2d(mixed, 1)))  # (N, 96, 1, 1)
        return mixed, self.project(mixed * weights)


class LevelOutputs(nn.Module):
    """Head, second half: scores and box distributions of one level."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.classes = nn.Conv2d(channels, CLASSES, 1)
        self.distribution = nn.Conv2d(channels, 4 * BINS, 1)
        self.alignment = nn.Sequential(
            ConvNorm(channels, 1, kernel=5), ConvNorm(1, 1, kernel=1, activation=nn.Sigmoid())
        )

    def forward(self, mixed: Tensor, projected: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (N, 80, h, w), 0..1, and the logits of four distributions (N, 32, h, w).

        A score is the geometric mean of the class probability and of one number for how well a box can be
        aligned here (Feng et al. 2021, "TOOD: Task-aligned One-stage Object Detection", section 3.1).
        """
        joint = torch.sigmoid(self.classes(projected)) * self.alignment(mixed)  # (N, 80, h, w)
        return torch.sqrt(joint + 1e-9), self.distribution(projected)  # 1e-9: as in the original


class Separable(nn.Module):
    """A depthwise, then a pointwise convolution, each with norm and hard-swish."""

    def __init__(
        self, in_channels: int, channels: int, kernel: int, stride: int = 1, squeeze: bool = False
    ) -> None:
        super().__init__()
        self.depthwise = ConvNorm(in_channels, in_channels, kernel, stride, groups=in_channels)
        self.squeeze = SqueezeExcite(in_channels) if squeeze else nn.Identity()
        self.pointwise = ConvNorm(in_channels, channels, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.pointwise(self.squeeze(self.depthwise(x)))  # (N, channels, h / stride, w / stride)
        return out


class SqueezeExcite(nn.Module):
    """Channels weighed by what the whole picture holds (Hu et al. 2018), reduction 4."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // 4, 1)
        self.excite = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(x, 1))))  # (N, channels, 1, 1)
        return x * F.hardsigmoid(weights)


class ConvNorm(nn.Module):
    """Convolution without bias, batch norm, activation."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.activation = activation or nn.Hardswish()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.activation(self.norm(self.conv(x)))  # (N, channels, h / stride, w / stride)
        return out


def _mix(channels: int) -> nn.Sequential:
    """Two levels side by side, mixed into one."""
    return nn.Sequential(
        Separable(2 * channels, 2 * channels, kernel=5), Separable(2 * channels, channels, kernel=5)
    )


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")  # (N, C, 2h, 2w)


def _grid() -> tuple[Tensor, Tensor]:
    """Cell centres (P, 2) in cells and cell sizes (P, 1) in px, row by row, level after level."""
    centres, strides = [], []
    for stride in STRIDES:
        cells = -(-INPUT_SIZE // stride)  # rounded up, as strided convolutions with this padding do
        along = torch.arange(cells) + 0.5
        y, x = torch.meshgrid(along, along, indexing="ij")
        centres.append(torch.stack((x, y), dim=2).reshape(-1, 2))  # (h·w, 2)
        strides.append(torch.full((cells * cells, 1), float(stride)))  # (h·w, 1)
    return torch.cat(centres), torch.cat(strides)
