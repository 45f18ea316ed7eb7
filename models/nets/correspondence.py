"""dense-s: corrects the baseline's part, U, V on the body surface from geometry alone, without a picture.

A U-Net (Ronneberger et al., 2015, arXiv:1505.04597) over the mask, the rendered body and the bones, whose last
layer speaks of 2 × 2 pixels at once (Shi et al., sub-pixel convolution, 2016, arXiv:1609.05158). It starts as
the baseline and learns where to leave it: the baseline's part has a prior, and on that part U, V are the
baseline's plus an offset.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bodystream.models.dense_layout import CHANNELS, MASK, PART, PARTS, U, V

CLASSES = PARTS + 1  # 0 is the background
SUB = 4  # pixels of 128 to a cell of 64, S below; ordered as the input's channels
AT_64, AT_32, AT_16, AT_8 = 32, 48, 96, 128  # channels; ONNX Runtime's AVX-512 kernels work on sixteens
PRIOR = 4.0  # of the baseline's part before training: it is right in e⁴ / (e⁴ + 24) = 69 of 100 pixels


class CorrespondenceOutput(NamedTuple):
    """What the network says of N people; `part_logits` and `uv_on` tell what it means. H = W = 64."""

    logits: Tensor  # (N, 25, S, H, W): part before prior and softmax
    own: Tensor  # (N, S, H, W): int64, the baseline's part
    prior: Tensor  # (N, S, H, W): what the baseline's part gains, 0 or more
    moved: Tensor  # (N, 2, S, H, W): U, V where the part is the baseline's
    places: Tensor  # (N, 2, 24, H, W): U, V in the middle of the cell where it is another, for each of 1..24
    slopes: Tensor  # (N, 2, S, H, W): what the cell's pixels differ by from its middle, on whatever part


class Correspondence(nn.Module):
    """Input: float32 (N, 48, 64, 64), see `models.dense_layout`."""

    def __init__(self) -> None:
        super().__init__()
        self.entry = conv(CHANNELS - SUB, AT_64)
        self.down_32 = conv(CHANNELS - SUB, AT_32, 3, stride=2)
        self.down_16 = conv(AT_32, AT_16, 3, stride=2)
        self.mix_16 = conv(AT_16, AT_16, 3)
        self.down_8 = conv(AT_16, AT_8, 3, stride=2)
        self.mix_8 = Residual(AT_8)
        self.up_16 = conv(AT_8, AT_16)
        self.join_16 = conv(AT_16, AT_16, 3)
        self.up_32 = conv(AT_16, AT_32)
        self.join_32 = conv(AT_32, AT_32, 3)
        self.up_64 = conv(AT_32, AT_64)
        self.join_64 = conv(AT_64, AT_64, 3)
        self.logits = conv(AT_64, CLASSES * SUB)
        self.places = conv(AT_64, 2 * PARTS)
        self.shifts = conv(AT_64, 2 * 2 * SUB)  # offsets of the baseline's U, V; slopes
        self.prior = nn.Parameter(torch.full((CLASSES,), PRIOR))
        for each in self.modules():
            if isinstance(each, nn.Conv2d):  # nothing here normalises: He et al., 2015, arXiv:1502.01852
                nn.init.kaiming_normal_(each.weight, nonlinearity="relu")
                assert each.bias is not None
                nn.init.zeros_(each.bias)
        # Starts as the identity: Goyal et al., 2017, arXiv:1706.02677, section 5.1.
        nn.init.zeros_(self.mix_8.second.weight)
        for head, start in ((self.logits, 0.0), (self.places, 0.5), (self.shifts, 0.0)):
            nn.init.zeros_(head.weight)
            assert head.bias is not None  # told to the type checker
            nn.init.constant_(head.bias, start)  # places start in the middle of the chart

    def forward(self, inputs: Tensor) -> CorrespondenceOutput:
        """See `CorrespondenceOutput`."""
        return self.heads(self.features(quantities(inputs)), inputs)

    def heads(self, features: Tensor, inputs: Tensor) -> CorrespondenceOutput:
        """What the features (N, 32, H, W) of the inputs (N, 48, H, W) mean, each cell for itself.

        H and W are 64, or whatever cells of interest are laid out as, in training.
        """
        own = inputs[:, PART].long()  # (N, S, H, W)
        baseline = torch.stack([inputs[:, U], inputs[:, V]], dim=1)  # (N, 2, S, H, W)
        shifts = self.shifts(features).unflatten(1, (2, 2, SUB))  # (N, 2, 2, S, H, W)
        return CorrespondenceOutput(
            logits=self.logits(features).unflatten(1, (CLASSES, SUB)),  # (N, 25, S, H, W)
            own=own,
            prior=F.relu(self.prior).gather(0, own.flatten()).view_as(own),  # (N, S, H, W)
            moved=baseline + shifts[:, 0],  # (N, 2, S, H, W)
            places=self.places(features).unflatten(1, (2, PARTS)),  # (N, 2, 24, H, W)
            slopes=shifts[:, 1],  # (N, 2, S, H, W)
        )

    def features(self, quantities: Tensor) -> Tensor:
        """All but the heads: (N, 44, 64, 64) to (N, 32, 64, 64)."""
        at_64 = F.relu(self.entry(quantities))  # (N, 32, 64, 64)
        at_32 = F.relu(self.down_32(quantities))  # (N, 48, 32, 32)
        at_16 = F.relu(self.mix_16(F.relu(self.down_16(at_32))))  # (N, 96, 16, 16)
        at_8 = self.mix_8(F.relu(self.down_8(at_16)))  # (N, 128, 8, 8)
        # Nothing is activated after an addition: on its own that is slow in ONNX Runtime.
        up_16 = F.relu(self.join_16(at_16 + twice(self.up_16(at_8))))  # (N, 96, 16, 16)
        up_32 = F.relu(self.join_32(at_32 + twice(self.up_32(up_16))))  # (N, 48, 32, 32)
        return F.relu(self.join_64(at_64 + twice(self.up_64(up_32))))  # (N, 32, 64, 64)


def quantities(inputs: Tensor) -> Tensor:
    """The input without the part, which is none: (N, 48, 64, 64) to (N, 44, 64, 64)."""
    return torch.cat([inputs[:, MASK], inputs[:, PART.stop :]], dim=1)  # (N, 44, 64, 64)


def part_logits(out: CorrespondenceOutput) -> Tensor:
    """Logits with the prior: (N, 25, S, H, W)."""
    return out.logits.scatter_add(1, out.own[:, None], out.prior[:, None])  # (N, 25, S, H, W)


def uv_on(out: CorrespondenceOutput, part: Tensor) -> Tensor:
    """U, V where each pixel lies on the given part, int64 (N, S, H, W), 1..24: (N, 2, S, H, W).

    They may leave 0..1 a little.
    """
    index = (part - 1)[:, None].expand(-1, 2, -1, -1, -1)  # (N, 2, S, H, W)
    places = out.places.gather(2, index) + out.slopes  # (N, 2, S, H, W)
    return torch.where((part == out.own)[:, None], out.moved, places)  # (N, 2, S, H, W)


class Residual(nn.Module):
    """Two 3×3 convolutions beside a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = conv(channels, channels, 3)
        self.second = conv(channels, channels, 3)
        nn.init.zeros_(
            self.second.weight
        )  # starts as the identity: Goyal et al., 2017, arXiv:1706.02677, 5.1

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        out: Tensor = x + self.second(F.relu(self.first(x)))  # (N, C, H, W)
        return out


def conv(before: int, after: int, kernel: int = 1, stride: int = 1) -> nn.Conv2d:
    """A convolution that keeps the resolution but for its stride."""
    return nn.Conv2d(before, after, kernel, stride, padding=kernel // 2)


def twice(x: Tensor) -> Tensor:
    """Each cell to 2 × 2: (N, C, H, W) to (N, C, 2H, 2W). The convolution that follows smooths."""
    return F.interpolate(x, scale_factor=2, mode="nearest")
