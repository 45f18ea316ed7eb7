"""lift-s: a person's joints in 3D, from where the landmark net sees them and how deep it takes them to be.

Residual blocks of whole layers, as Martinez et al., A simple yet effective baseline for 3d human pose estimation,
2017, arXiv:1705.03098, in outline; beside them a linear skip that starts as the landmark net's own joints, so that
the network learns where to leave them. One frame at a time: see docs/lift-s.md for what time was worth.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bodystream.models.lift_layout import HIPS, INPUTS, JOINTS, WORLD

WIDTH, BLOCKS = 384, 3


class Lift(nn.Module):
    """Input: float32 (N, 93), see `models.lift_layout`.

    Output: float32 (N, 15, 3), of SIZE_M, from between the hips, in the view's axes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.entry = nn.Linear(INPUTS, WIDTH)
        self.blocks = nn.Sequential(*(Block() for _ in range(BLOCKS)))
        self.last = nn.Linear(WIDTH, JOINTS * 3)
        self.skip = nn.Linear(INPUTS, JOINTS * 3)
        for each in (self.last.weight, self.last.bias, self.skip.weight, self.skip.bias):
            nn.init.zeros_(each)
        with torch.no_grad():
            self.skip.weight[:, WORLD] = torch.eye(JOINTS * 3)

    def forward(self, inputs: Tensor) -> Tensor:
        """See the class."""
        return self.joints(self.features(inputs), inputs)

    def features(self, inputs: Tensor) -> Tensor:
        """All but what the joints are read off by: (N, 93) to (N, 384)."""
        features: Tensor = self.blocks(self.entry(inputs))  # (N, 384)
        return features

    def joints(self, features: Tensor, inputs: Tensor) -> Tensor:
        """What the features of the inputs mean: (N, 15, 3)."""
        joints = self.last(features) + self.skip(inputs)  # (N, 45)
        joints = joints.reshape(-1, JOINTS, 3)  # (N, 15, 3)
        return joints - joints[:, HIPS].mean(1, keepdim=True)


class Block(nn.Module):
    """Two layers beside a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(WIDTH, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)
        self.second = nn.Linear(WIDTH, WIDTH)
        nn.init.zeros_(
            self.second.weight
        )  # starts as the identity: Goyal et al., 2017, arXiv:1706.02677, 5.1
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 384) to the same."""
        out: Tensor = x + self.second(F.relu(self.norm(self.first(x))))  # (N, 384)
        return out
