"""LeNet-5: digits out of grey pictures of 32 × 32.

LeCun et al., "Gradient-Based Learning Applied to Document Recognition", 1998, section II.B. Layers, sizes and the
scaled tanh are the paper's. Simplified, as most do today: each map of C3 sees all six of S2, not those of table I;
subsampling is a plain mean, without a coefficient and bias of its own and a tanh after it; the output is a linear
layer for softmax and cross entropy, not Euclidean distances to bitmaps.
"""

import torch
from torch import Tensor, nn

SIDE = 32  # px
LOW, HIGH = -0.1, 1.175  # what white and black are given as: mean about 0, deviation about 1 (section II.B)


class LeNet5(nn.Module):
    """Input: float32 (N, channels, 32, 32), paper at -0.1 and ink at 1.175. Layers are named as in the paper."""

    def __init__(self, classes: int = 10, channels: int = 1) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(channels, 6, 5)
        self.c3 = nn.Conv2d(6, 16, 5)
        self.c5 = nn.Conv2d(16, 120, 5)
        self.f6 = nn.Linear(120, 84)
        self.output = nn.Linear(84, classes)
        self.subsample = nn.AvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes)."""
        s2 = self.subsample(squash(self.c1(x)))  # (N, 6, 14, 14)
        s4 = self.subsample(squash(self.c3(s2)))  # (N, 16, 5, 5)
        c5 = squash(self.c5(s4)).flatten(1)  # (N, 120)
        return self.output(squash(self.f6(c5)))  # (N, classes)


def squash(x: Tensor) -> Tensor:
    """The paper's activation, 1 at 1 and -1 at -1: appendix A."""
    return 1.7159 * torch.tanh(2 / 3 * x)
