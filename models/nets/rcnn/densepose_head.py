"""DensePose-RCNN: for every pixel of a person which of 24 charts of the body it shows, and where on it (U, V).

Güler et al., "DensePose: Dense Human Pose Estimation in the Wild", 2018 (arXiv:1802.00434), section 3: a
classification (background or a chart) and for each chart a regression of its two coordinates. The layers are
those of detectron2's project DensePose (`densepose_rcnn_R_50_FPN_s1x`, `.._DL_s1x`): a decoder merges the pyramid
at 1/4 (Kirillov et al., "Panoptic Feature Pyramid Networks", 2019, arXiv:1901.02446, section 3.1), 28 × 28 bins
are read from it, then comes a head, "v1convx" (eight 3×3 convolutions, as Mask R-CNN's keypoint head has them) or
"deeplab" (ASPP with group normalisation, Chen et al., 2017, arXiv:1706.05587, optionally a non-local block, Wang
et al., 2018, arXiv:1711.07971, then the convolutions), and four transposed convolutions enlarged to 112 × 112.
Parameters are named as detectron2's.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bodystream.models.nets.rcnn.mask_head import initialise

BINS = 28
SIZE = 112  # cells of the outputs each way
CHARTS = 24
RATES = (6, 12, 56)  # dilations of the DeepLab head's ASPP
GROUPS = 32  # of its group normalisation


class DenseOutput(NamedTuple):
    """What is said of R boxes, logits before softmax. H = W = 112 cells over the box."""

    coarse: Tensor  # (R, 2 or 15, H, W): background, then person or 14 coarse parts
    fine: Tensor  # (R, 25, H, W): background, then the charts
    u: Tensor  # (R, 25, H, W): about 0..1, of each chart; that of the background means nothing
    v: Tensor  # (R, 25, H, W)


class Decoder(nn.Module):
    """P2..P5 merged into one map at P2's resolution."""

    def __init__(self, before: int, channels: int, after: int) -> None:
        super().__init__()
        for level, name in enumerate(LEVELS):
            layers = nn.Sequential()
            for number in range(max(1, level)):
                layers.append(ActiveConv(channels if number else before, channels, 3, padding=1))
                if level:
                    layers.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))
            self.add_module(name, layers)
        self.predictor = nn.Conv2d(channels, after, 1)
        initialise(self)

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """(B, C, H/4, W/4) .. (B, C, H/32, W/32) to (B, after, H/4, W/4); H and W are multiples of 32."""
        merged = self.get_submodule(LEVELS[0])(pyramid[0])  # (B, channels, H/4, W/4)
        for name, level in zip(LEVELS[1:], pyramid[1:], strict=True):
            merged = merged + self.get_submodule(name)(level)  # (B, channels, H/4, W/4)
        return self.predictor(merged)  # (B, after, H/4, W/4)


LEVELS = ("p2", "p3", "p4", "p5")


class ActiveConv(nn.Conv2d):
    """A convolution and its rectification under one name."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H', W')."""
        return F.relu(super().forward(x))


class NormedConv(nn.Conv2d):
    """A convolution, its group normalisation as `norm`, and its rectification under one name."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(GROUPS, after)

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) to (N, after, H, W)."""
        return F.relu(self.norm(super().forward(x)))


class V1ConvXHead(nn.Sequential):
    """3×3 convolutions of equal width."""

    def __init__(self, before: int, channels: int, convolutions: int) -> None:
        super().__init__()
        for number in range(convolutions):
            layer = ActiveConv(channels if number else before, channels, 3, padding=1)
            self.add_module(f"body_conv_fcn{number + 1}", layer)
        initialise(self)


class DeepLabHead(nn.Sequential):
    """ASPP, then 3×3 convolutions with group normalisation. Widths are multiples of 32."""

    def __init__(self, before: int, channels: int, convolutions: int, non_local: bool) -> None:
        super().__init__()
        self.add_module("ASPP", Aspp(before))
        if non_local:
            self.add_module("NLBlock", NonLocal(before))
        for number in range(convolutions):
            layer = NormedConv(channels if number else before, channels)
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            self.add_module(f"body_conv_fcn{number + 1}", layer)


class Aspp(nn.Module):
    """Atrous spatial pyramid pooling: five views of the map, from a cell to all of it, merged."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        views = [nn.Sequential(nn.Conv2d(channels, channels, 1, bias=False), *normed(channels))]
        for rate in RATES:
            spread = nn.Conv2d(channels, channels, 3, padding=rate, dilation=rate, bias=False)
            views.append(nn.Sequential(spread, *normed(channels)))
        views.append(
            nn.Sequential(WholeMean(), nn.Conv2d(channels, channels, 1, bias=False), *normed(channels))
        )
        self.convs = nn.ModuleList(views)
        self.project = nn.Sequential(nn.Conv2d(len(views) * channels, channels, 1, bias=False), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """(R, C, H, W) to the same."""
        views = [view(x).expand_as(x) for view in self.convs]  # the last is of one cell: all get its value
        return self.project(torch.cat(views, dim=1))  # (R, C, H, W)


class WholeMean(nn.Module):
    """The mean over the map."""

    def forward(self, x: Tensor) -> Tensor:
        """(R, C, H, W) to (R, C, 1, 1)."""
        return x.mean((2, 3), keepdim=True)  # (R, C, 1, 1)


class NonLocal(nn.Module):
    """Adds to every cell what all others, seen at half the resolution, say to it; starts as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // 2
        self.g = nn.Sequential(nn.Conv2d(channels, inner, 1), nn.MaxPool2d(2))
        self.theta = nn.Conv2d(channels, inner, 1)
        self.phi = nn.Sequential(nn.Conv2d(channels, inner, 1), nn.MaxPool2d(2))
        self.W = nn.Sequential(nn.Conv2d(inner, channels, 1), nn.GroupNorm(GROUPS, channels))
        nn.init.zeros_(self.W[1].weight)  # type: ignore[arg-type] # a norm's, a tensor

    def forward(self, x: Tensor) -> Tensor:
        """(R, C, H, W) to the same."""
        asked = self.theta(x).flatten(2).transpose(1, 2)  # (R, H·W, C/2)
        keys = self.phi(x).flatten(2)  # (R, C/2, H·W/4)
        values = self.g(x).flatten(2).transpose(1, 2)  # (R, H·W/4, C/2)
        seen = (asked @ keys).softmax(-1) @ values  # (R, H·W, C/2)
        return x + self.W(seen.transpose(1, 2).unflatten(2, x.shape[2:]))  # (R, C, H, W)


def normed(channels: int) -> tuple[nn.Module, nn.Module]:
    """Group normalisation and rectification."""
    return nn.GroupNorm(GROUPS, channels), nn.ReLU()


class ChartPredictor(nn.Module):
    """The four outputs."""

    def __init__(self, channels: int, coarse: int) -> None:
        super().__init__()
        self.ann_index_lowres = doubling(channels, coarse)
        self.index_uv_lowres = doubling(channels, CHARTS + 1)
        self.u_lowres = doubling(channels, CHARTS + 1)
        self.v_lowres = doubling(channels, CHARTS + 1)
        initialise(self)
        for each in (self.u_lowres, self.v_lowres):
            assert each.bias is not None  # told to the type checker
            nn.init.constant_(each.bias, 0.5)  # starts in the middle of the charts

    def forward(self, x: Tensor) -> DenseOutput:
        """(R, C, 28, 28) to 112 × 112."""
        return DenseOutput(*(enlarged(each) for each in self.unenlarged(x)))

    def unenlarged(self, x: Tensor) -> DenseOutput:
        """(R, C, 28, 28) to 56 × 56, as the layers give it: what training compares, a quarter of the cells."""
        return DenseOutput(
            coarse=self.ann_index_lowres(x),  # (R, coarse, 56, 56)
            fine=self.index_uv_lowres(x),  # (R, 25, 56, 56)
            u=self.u_lowres(x),  # (R, 25, 56, 56)
            v=self.v_lowres(x),  # (R, 25, 56, 56)
        )


def doubling(before: int, after: int) -> nn.ConvTranspose2d:
    """A transposed convolution to twice the resolution."""
    return nn.ConvTranspose2d(before, after, 4, 2, 1)


def enlarged(x: Tensor) -> Tensor:
    """(R, C, h, h) to (R, C, 112, 112)."""
    return F.interpolate(x, scale_factor=float(SIZE // x.shape[-1]), mode="bilinear", align_corners=False)
