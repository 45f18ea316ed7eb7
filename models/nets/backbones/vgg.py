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
    """Input: float32 (N, 3, H, W), normalised, 32 px or more to a side; made for 224.

    `channels` are those of what `stages` gives. `classes` 0 leaves the classifier out.
    """

    def __init__(self, classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        self.features = nn.Sequential()
        before = 3
        for group in WIDTHS:
            for width in group:
                self.features.extend([nn.Conv2d(before, width, 3, padding=1), nn.ReLU()])
                before = width
            self.features.append(nn.MaxPool2d(2))
        self.channels = tuple(group[-1] for group in (*WIDTHS[2:], WIDTHS[-1]))
        if classes:
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

    def stages(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """conv3_3, conv4_3, conv5_3 and the last pooling: (N, C, H/4, W/4), /8, /16, /32."""
        maps = [x]
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                maps.append(layer(maps[-1]))  # (N, C, H/2, W/2), smaller from group to group
            else:
                maps[-1] = layer(maps[-1])  # (N, C, H, W) of the group
        c2, c3, c4, c5 = maps[-4:]
        return c2, c3, c4, c5
