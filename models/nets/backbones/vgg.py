"""VGG-16: thirteen 3×3 convolutions and three layers that see everything.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2014
(arXiv:1409.1556), table 1, configuration D. Parameters are named as torchvision's.
"""

import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (
    (64, 64),
    (128, 128),
    (256, 256, 256),
    (512, 512, 512),
    (512, 512, 512),
)  # a pooling after each group
POOLED = 7  # cells to a side before the classifier


class Vgg16(nn.Module):
    """Input: float32 (N, 3, H, W), normalised, 32 px or more to a side; made for 224."""

    def __init__(self, classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        self.features = nn.Sequential()
        before = 3
        for group in WIDTHS:
            for width in group:
                self.features.extend([nn.Conv2d(before, width, 3, padding=1), nn.ReLU()])
                before = width
            self.features.append(nn.MaxPool2d(2))
        self.classifier = nn.Sequential(
            nn.Linear(512 * POOLED**2, 4096),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(4096, classes),
        )
        for each in self.features:
            if isinstance(
                each, nn.Conv2d
            ):  # He et al., 2015, arXiv:1502.01852: the paper pretrained, section 3.1
                nn.init.kaiming_normal_(each.weight, mode="fan_out", nonlinearity="relu")
                assert each.bias is not None  # told to the type checker
                nn.init.zeros_(each.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes)."""
        maps = self.features(x)  # (N, 512, H/32, W/32), 7 × 7 for 224 × 224
        cells = F.adaptive_avg_pool2d(maps, POOLED)  # (N, 512, 7, 7)
        return self.classifier(cells.flatten(1))  # (N, classes)
