"""AlexNet, on one GPU.

Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks", 2012, in the form of
Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014 (arXiv:1404.5997), which the
published weights are of: one column of 64, 192, 384, 256, 256 channels and no response normalisation. Parameters
are named as torchvision's.
"""

import torch.nn.functional as F
from torch import Tensor, nn

POOLED = 6  # cells to a side before the classifier


class AlexNet(nn.Module):
    """Input: float32 (N, 3, H, W), normalised, 63 px or more to a side; made for 224."""

    def __init__(self, classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(256 * POOLED**2, 4096),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes)."""
        maps = self.features(x)  # (N, 256, h, w), 6 × 6 for 224 × 224
        cells = F.adaptive_avg_pool2d(maps, POOLED)  # (N, 256, 6, 6)
        return self.classifier(cells.flatten(1))  # (N, classes)
