"""What stands before networks that are made for floating-point colours: pixels as cameras give them."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

# ImageNet's RGB, of pixels of 0..1: torchvision's presets for classifiers and semantic networks.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# How far onnxruntime may be from torch in a semantic network's logits, of the largest of them.
RELATIVE = 1e-5


class Pixels(nn.Module):
    """uint8 (N, H, W, 3) BGR to float32 (N, 3, H, W), less a mean and over a deviation, both RGB of 0..1."""

    scale: Tensor
    shift: Tensor

    def __init__(self, mean: Sequence[float] = MEAN, deviation: Sequence[float] = DEVIATION) -> None:
        super().__init__()
        means, deviations = torch.tensor(mean), torch.tensor(deviation)
        self.register_buffer("scale", (1 / (255 * deviations)).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("shift", (-means / deviations).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """See the class."""
        blue, green, red = pixels.permute(0, 3, 1, 2).float().chunk(3, dim=1)  # (N, 1, H, W) each
        return torch.cat([red, green, blue], dim=1) * self.scale + self.shift  # (N, 3, H, W)


class Ink(nn.Module):
    """uint8 (N, H, W) to float32 (N, 1, H, W), `low` for 0, the paper, and `high` for 255."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.high = low, high

    def forward(self, pixels: Tensor) -> Tensor:
        """See the class."""
        return self.low + (self.high - self.low) / 255 * pixels.unsqueeze(1).float()  # (N, 1, H, W)
