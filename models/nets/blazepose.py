"""BlazePose's landmark network: 39 landmarks, a silhouette and metric 3D from one square crop of a person.

V. Bazarevsky et al., "BlazePose: On-device Real-time Body Pose Tracking", 2020 (arXiv:2006.10204); the
third dimension and the silhouette came with MediaPipe's later releases, whose published networks this
module rebuilds. The encoder is a stack of inverted residuals (Sandler et al., MobileNetV2, 2018) whose
widths, depths and kernels are those of EfficientNet (Tan and Le, 2019) without squeeze-and-excitation:
heavy has B4's. The remaining parts are BlazeBlocks (Bazarevsky et al., BlazeFace, 2019).
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 256  # px of the square crop
LANDMARKS = 39  # 33 of the body, 2 that place the next crop, 4 unused


@dataclass(frozen=True)
class Stage:
    """Inverted residuals of one width; only the first may halve the resolution and change the width."""

    width: int
    kernel: int
    blocks: int
    stride: int = 2
    expansion: int = 6


@dataclass(frozen=True)
class BlazePoseSize:
    """What differs between lite, full and heavy."""

    stem: int  # channels at 128 × 128
    encoder: tuple[tuple[Stage, ...], ...]  # at 64, 32, 16 and 8
    fused: int  # channels of the feature pyramid at 8, 16, 32 and 64
    descent: tuple[
        tuple[int, int], ...
    ]  # width and BlazeBlocks at 32, 16 and 8 on the way back down; heavy alone has it
    head: tuple[tuple[int, int], ...]  # the same at 4 and 2


LITE = BlazePoseSize(
    stem=8,
    encoder=(
        (Stage(16, kernel=3, blocks=1, expansion=4), Stage(16, kernel=3, blocks=1, stride=1)),
        (Stage(24, kernel=5, blocks=2),),
        (Stage(40, kernel=3, blocks=3), Stage(56, kernel=5, blocks=3, stride=1)),
        (Stage(96, kernel=5, blocks=4),),
    ),
    fused=32,
    descent=(),
    head=((192, 3), (192, 4)),
)
FULL = BlazePoseSize(
    stem=16,
    encoder=(
        (Stage(24, kernel=3, blocks=1, expansion=4), Stage(24, kernel=3, blocks=1, stride=1)),
        (Stage(32, kernel=5, blocks=2),),
        (Stage(64, kernel=3, blocks=3), Stage(88, kernel=5, blocks=3, stride=1)),
        (Stage(144, kernel=5, blocks=4),),
    ),
    fused=48,
    descent=(),
    head=((288, 5), (288, 6)),
)
HEAVY = BlazePoseSize(
    stem=24,
    encoder=(
        (Stage(32, kernel=3, blocks=2, expansion=4), Stage(32, kernel=3, blocks=2, stride=1)),
        (Stage(56, kernel=5, blocks=4),),
        (Stage(112, kernel=3, blocks=6), Stage(160, kernel=5, blocks=6, stride=1)),
        (Stage(272, kernel=5, blocks=8),),
    ),
    fused=48,
    descent=((96, 7), (192, 8), (288, 8)),
    head=((288, 8), (288, 8)),
)


class BlazePoseOutput(NamedTuple):
    """What the network says of N crops, all float32."""

    landmarks: Tensor  # (N, 39, 5): x, y, z in px of the crop, visibility and presence before the sigmoid
    presence: Tensor  # (N, 1): 0..1, is there a person
    mask: Tensor  # (N, 256, 256): silhouette before the sigmoid
    heatmaps: Tensor  # (N, 39, 64, 64): before the sigmoid
    world: Tensor  # (N, 39, 3): m, hip-centred, in the crop's axes: x right, y down, z away from the camera


class BlazePose(nn.Module):
    """The network of one size. Input: float32 (N, 3, 256, 256), RGB, 0..1."""

    def __init__(self, size: BlazePoseSize) -> None:
        super().__init__()
        widths = [stages[-1].width for stages in size.encoder[:3]]  # at 64, 32, 16
        top = size.encoder[3][-1].width * 6
        fine = 8  # channels of the mask at 128 and 256, in every size

        self.stem = nn.Sequential(
            conv(3, 24, kernel=3, stride=2),
            nn.ReLU6(),
            conv(24, 24, kernel=3, groups=24),
            nn.ReLU6(),
            conv(24, size.stem),
        )
        self.encoder = nn.ModuleList(
            encoder_level(before, stages)
            for before, stages in zip([size.stem, *widths], size.encoder, strict=True)
        )
        self.top = nn.Sequential(  # an inverted residual without its projection
            conv(top // 6, top), nn.ReLU6(), conv(top, top, kernel=3, groups=top), nn.ReLU6()
        )

        self.lateral = nn.ModuleList(BlazeBlock(width, size.fused) for width in [*widths, top])
        self.mask_entry = BlazeBlock(size.fused, fine)
        self.mask_lateral = BlazeBlock(size.stem, fine)
        self.mask_128 = nn.Sequential(BlazeBlock(fine, fine), BlazeBlock(fine, fine))
        self.mask_256 = nn.Sequential(BlazeBlock(fine, fine), BlazeBlock(fine, fine))
        self.mask: nn.Module = conv(fine, 1, kernel=3)
        self.heatmaps = conv(size.fused, LANDMARKS)

        down = [size.fused, *(width for width, _ in size.descent)]
        self.descent = nn.ModuleList(
            blaze_level(before, *level) for before, level in zip(down, size.descent, strict=False)
        )
        self.descent_lateral = nn.ModuleList(
            BlazeBlock(before, width) for before, (width, _) in zip(widths[1:], size.descent, strict=False)
        )
        self.head_entry = BlazeBlock(top, size.head[0][0])
        self.head = nn.Sequential(
            *(blaze_level(before, *level) for (before, _), level in pairwise((size.head[0], *size.head)))
        )
        last = size.head[-1][0]
        self.landmarks = nn.Conv2d(last, LANDMARKS * 5, kernel_size=2)
        self.world = nn.Conv2d(last, LANDMARKS * 3, kernel_size=2)
        self.presence = nn.Conv2d(last, 1, kernel_size=2)

    def forward(self, crops: Tensor) -> BlazePoseOutput:
        """See `BlazePoseOutput`; C stands for widths that depend on the size."""
        at_128 = self.stem(crops)  # (N, C, 128, 128)
        at_64 = self.encoder[0](at_128)  # (N, C, 64, 64)
        at_32 = self.encoder[1](at_64)  # (N, C, 32, 32)
        at_16 = self.encoder[2](at_32)  # (N, C, 16, 16)
        at_8 = self.top(self.encoder[3](at_16))  # (N, C, 8, 8)

        fused = self.lateral[3](at_8)  # (N, fused, 8, 8)
        fused = twice(fused) + self.lateral[2](at_16)  # (N, fused, 16, 16)
        fused = twice(fused) + self.lateral[1](at_32)  # (N, fused, 32, 32)
        fused = twice(fused) + self.lateral[0](at_64)  # (N, fused, 64, 64)

        mask = twice(self.mask_entry(fused)) + self.mask_lateral(at_128)  # (N, 8, 128, 128)
        mask = self.mask_256(twice(self.mask_128(mask)))  # (N, 8, 256, 256)

        person = self.head_entry(at_8)  # (N, C, 8, 8)
        if self.descent:
            down = self.descent[0](fused) + self.descent_lateral[0](at_32)  # (N, 96, 32, 32)
            down = self.descent[1](down) + self.descent_lateral[1](at_16)  # (N, 192, 16, 16)
            person = self.descent[2](down) + person  # (N, 288, 8, 8)
        person = self.head(person)  # (N, C, 2, 2)

        return BlazePoseOutput(
            landmarks=self.landmarks(person).reshape(-1, LANDMARKS, 5),  # (N, 39, 5)
            presence=self.presence(person).sigmoid().reshape(-1, 1),  # (N, 1)
            mask=self.mask(mask).squeeze(1),  # (N, 256, 256)
            heatmaps=self.heatmaps(fused),  # (N, 39, 64, 64)
            world=self.world(person).reshape(-1, LANDMARKS, 3),  # (N, 39, 3)
        )


class InvertedResidual(nn.Module):
    """1×1 to a wide tensor, depthwise, 1×1 back to a narrow one; the residual joins the narrow ends."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = before * expansion
        self.expand = conv(before, wide)
        self.depthwise = conv(wide, wide, kernel, stride, groups=wide)
        self.project = conv(wide, after)
        self.residual = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) to (N, after, H / stride, W / stride)."""
        wide = F.relu6(self.expand(x))  # (N, wide, H, W)
        wide = F.relu6(self.depthwise(wide))  # (N, wide, H / stride, W / stride)
        narrow: Tensor = self.project(wide)  # (N, after, H / stride, W / stride)
        return x + narrow if self.residual else narrow


class BlazeBlock(nn.Module):
    """Depthwise 3×3 and 1×1, with a shortcut wherever the widths allow one."""

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__()
        self.halve = stride == 2
        self.shortcut = self.halve or before == after
        self.widen = after - before
        self.depthwise = nn.Conv2d(before, before, 3, stride, padding=0 if self.halve else 1, groups=before)
        self.pointwise = conv(before, after)
        self.activation: nn.Module = nn.ReLU6()

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) to (N, after, H / stride, W / stride)."""
        # TensorFlow's SAME padding puts the one pixel that a stride of 2 needs to the right and below.
        y = F.pad(x, (0, 1, 0, 1)) if self.halve else x  # (N, before, H + 1, W + 1)
        y = F.relu6(self.depthwise(y))  # (N, before, H / stride, W / stride)
        y = self.pointwise(y)  # (N, after, H / stride, W / stride)
        if self.halve:
            x = F.max_pool2d(x, 2)  # (N, before, H / 2, W / 2)
            x = F.pad(x, (0, 0, 0, 0, 0, self.widen)) if self.widen else x  # (N, after, H / 2, W / 2)
        out: Tensor = self.activation(x + y if self.shortcut else y)
        return out


def conv(before: int, after: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution that keeps the resolution but for its stride."""
    return nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, groups=groups)


def encoder_level(before: int, stages: tuple[Stage, ...]) -> nn.Sequential:
    """All inverted residuals of one resolution."""
    blocks = []
    for stage in stages:
        for index in range(stage.blocks):
            stride = stage.stride if index == 0 else 1
            blocks.append(InvertedResidual(before, stage.width, stage.kernel, stride, stage.expansion))
            before = stage.width
    return nn.Sequential(*blocks)


def blaze_level(before: int, width: int, blocks: int) -> nn.Sequential:
    """All BlazeBlocks of one resolution; the first halves it."""
    return nn.Sequential(
        BlazeBlock(before, width, stride=2), *(BlazeBlock(width, width) for _ in range(blocks - 1))
    )


def twice(x: Tensor) -> Tensor:
    """Bilinear, pixel centres at halves: (N, C, H, W) to (N, C, 2H, 2W)."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def without_weights(size: BlazePoseSize) -> BlazePose:
    """A network without memory for its weights, to be given them by `load_state_dict(assign=True)`."""
    with torch.device("meta"):
        return BlazePose(size)
