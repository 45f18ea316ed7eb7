"""VNect: 2D heatmaps and, at each joint's maximum, the joint's place in 3D relative to the pelvis.

Mehta et al., "VNect: Real-time 3D Human Pose Estimation with a Single RGB Camera", 2017 (arXiv:1705.01583), section
4.1 and figure 5: a ResNet-50 up to res4f, a modified res5, and bone lengths between. Layers are named as in the
authors' Caffe model, in which the trunk's normalisations lie in its convolutions; `scale5c_branch2a`'s values are
`bn5c_branch2a`'s weight and bias here. Poolings round up and blocks halve the resolution in their first 1×1, as
Caffe's ResNet.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 368  # px of the square crop
JOINTS = 21
STRIDE = 8  # px of the crop to a cell
GREY = 0.4  # what is taken from pixels of 0..1
UNIT_M = 0.1  # metres to 1 in the location maps: what public ports of the demo multiply by

BLOCKS = (("2", 64, "abc"), ("3", 128, "abcd"), ("4", 256, "abcdef"))  # of the trunk: stage, width, blocks


class VnectOutput(NamedTuple):
    """What the network says of N crops, float32 (N, 21, 46, 46) each."""

    heatmaps: Tensor  # about 1 at the joint
    x: Tensor  # of the joint relative to the pelvis, to the right, in UNIT_M; means something at the joint
    y: Tensor  # downwards
    z: Tensor  # away from the camera


class Vnect(nn.Module):
    """Input: float32 (N, 3, 368, 368), BGR, 0..1 less 0.4; any multiple of 16 px will do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3)
        before = 64
        for stage, width, blocks in BLOCKS:
            for block in blocks:
                stride = 2 if block == "a" and stage != "2" else 1
                name = f"res{stage}{block}"
                if block == "a":
                    self.add_module(f"{name}_branch1", nn.Conv2d(before, 4 * width, 1, stride))
                self.add_module(f"{name}_branch2a", nn.Conv2d(before, width, 1, stride))
                self.add_module(f"{name}_branch2b", nn.Conv2d(width, width, 3, padding=1))
                self.add_module(f"{name}_branch2c", nn.Conv2d(width, 4 * width, 1))
                before = 4 * width
        self.res5a_branch1_new = nn.Conv2d(1024, 1024, 1)
        self.res5a_branch2a_new = nn.Conv2d(1024, 512, 1)
        self.res5a_branch2b_new = nn.Conv2d(512, 512, 3, padding=1)
        self.res5a_branch2c_new = nn.Conv2d(512, 1024, 1)
        self.res5b_branch2a_new = nn.Conv2d(1024, 256, 1)
        self.res5b_branch2b_new = nn.Conv2d(256, 128, 3, padding=1)
        self.res5b_branch2c_new = nn.Conv2d(128, 256, 1)
        self.res5c_branch1a = nn.ConvTranspose2d(256, 3 * JOINTS, 4, stride=2, padding=1, bias=False)
        self.res5c_branch2a = nn.ConvTranspose2d(256, 128, 4, stride=2, padding=1, bias=False)
        self.bn5c_branch2a = nn.BatchNorm2d(128)
        self.res5c_branch2b = nn.Conv2d(128 + 4 * JOINTS, 128, 3, padding=1)
        self.res5c_branch2c = nn.Conv2d(128, 4 * JOINTS, 1, bias=False)

    def forward(self, crops: Tensor) -> VnectOutput:
        """See `VnectOutput`. Sizes are those of crops of 368 × 368."""
        at_23 = self.res5(self.trunk(crops))  # (N, 256, 23, 23)
        deltas = self.res5c_branch1a(at_23)  # (N, 63, 46, 46): along the bones, of 21 joints x, y, z
        features = F.relu(self.bn5c_branch2a(self.res5c_branch2a(at_23)))  # (N, 128, 46, 46)
        lengths = bone_lengths(deltas)  # (N, 21, 46, 46)
        features = torch.cat([features, deltas, lengths], dim=1)  # (N, 212, 46, 46)
        maps = self.res5c_branch2c(F.relu(self.res5c_branch2b(features)))  # (N, 84, 46, 46)
        return VnectOutput(*maps.split(JOINTS, dim=1))  # (N, 21, 46, 46) each

    def trunk(self, crops: Tensor) -> Tensor:
        """ResNet-50 up to res4f: (N, 3, 368, 368) to (N, 1024, 23, 23)."""
        x = F.relu(self.conv1(crops))  # (N, 64, 184, 184)
        x = F.max_pool2d(x, 3, stride=2, ceil_mode=True)  # (N, 64, 92, 92)
        for stage, _, blocks in BLOCKS:
            for block in blocks:
                x = self._block(
                    f"res{stage}{block}", x
                )  # (N, 256, 92, 92), (N, 512, 46, 46), (N, 1024, 23, 23)
        return x

    def _block(self, name: str, x: Tensor) -> Tensor:
        y = F.relu(self.get_submodule(f"{name}_branch2a")(x))  # (N, width, h / stride, w / stride)
        y = F.relu(self.get_submodule(f"{name}_branch2b")(y))  # (N, width, h / stride, w / stride)
        y = self.get_submodule(f"{name}_branch2c")(y)  # (N, 4 · width, h / stride, w / stride)
        beside = self.get_submodule(f"{name}_branch1")(x) if name.endswith("a") else x
        return F.relu(y + beside)  # (N, 4 · width, h / stride, w / stride)

    def res5(self, x: Tensor) -> Tensor:
        """The modified res5a and res5b, which has no shortcut: (N, 1024, 23, 23) to (N, 256, 23, 23)."""
        y = F.relu(self.res5a_branch2a_new(x))  # (N, 512, 23, 23)
        y = self.res5a_branch2c_new(F.relu(self.res5a_branch2b_new(y)))  # (N, 1024, 23, 23)
        x = F.relu(y + self.res5a_branch1_new(x))  # (N, 1024, 23, 23)
        x = F.relu(self.res5b_branch2a_new(x))  # (N, 256, 23, 23)
        x = F.relu(self.res5b_branch2b_new(x))  # (N, 128, 23, 23)
        return F.relu(self.res5b_branch2c_new(x))  # (N, 256, 23, 23)


def bone_lengths(deltas: Tensor) -> Tensor:
    """Lengths of what the channels give as all x, all y, all z: (N, 3J, h, w) to (N, J, h, w); section 4.1."""
    x, y, z = deltas.chunk(3, dim=1)  # (N, J, h, w) each
    return (x.square() + y.square() + z.square()).sqrt()  # (N, J, h, w)
