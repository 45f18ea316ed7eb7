"""BlazePose as the pipeline wants it: pixels in, probabilities out."""

import copy

import torch
from torch import Tensor, nn

from bodystream.models.nets.blazepose import SIDE, BlazeBlock, BlazePose

OUTPUTS = ("landmarks", "presence", "mask", "world")

BODY = 33  # landmarks that are refined; the points that place the next crop do so better as they are
REACH = 3  # cells to each side: MediaPipe, tensors_to_pose_landmarks_and_segmentation.pbtxt, kernel size 7
SURE = 0.5  # least peak of a heatmap that is believed: the default of MediaPipe's calculator


class PoseForExport(nn.Module):
    """Input: uint8 (N, 256, 256, 3) BGR.

    Outputs: landmarks float32 (N, 39, 5): x, y, z in px of the crop, visibility and presence 0..1;
    presence float32 (N,): 0..1; mask uint8 (N, 256, 256): 0..255 for 0..1;
    world float32 (N, 39, 3): m, in the crop's axes.
    """

    def __init__(self, net: BlazePose) -> None:
        super().__init__()
        self.net = copy.deepcopy(net)
        # The first convolution takes BGR from 0 to 255; its zero padding is black either way.
        first, last = self.net.stem[0], self.net.mask
        assert isinstance(first, nn.Conv2d) and isinstance(last, nn.Conv2d)
        first.weight = nn.Parameter(first.weight.detach().flip(1) / 255)
        for block in self.net.modules():
            if isinstance(block, BlazeBlock) and block.shortcut:
                block.activation = nn.Sequential(unchanged(block.pointwise.out_channels), nn.ReLU6())
        self.net.mask = in_tiles(last)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """See the class."""
        found = self.net(crops.permute(0, 3, 1, 2).float())  # (N, 3, 256, 256)
        body = refine(found.landmarks[:, :BODY, :2], found.heatmaps[:, :BODY])  # (N, 33, 2)
        points = torch.cat([body, found.landmarks[:, BODY:, :2]], dim=1)  # (N, 39, 2)
        scores = found.landmarks[..., 3:].sigmoid()  # (N, 39, 2)
        landmarks = torch.cat([points, found.landmarks[..., 2:3], scores], dim=-1)  # (N, 39, 5)
        mask = (found.mask.sigmoid() * 255).round().to(torch.uint8)  # (N, 256, 256)
        return landmarks, found.presence.squeeze(1), mask, found.world


def unchanged(channels: int) -> nn.Conv2d:
    """A convolution that returns its input, to come before an activation that follows an addition.

    ONNX Runtime (1.31, CPU) keeps its blocked layout through a convolution with its activation and leaves it
    for an activation alone, which costs two copies of the tensor: a tenth of the time of full.
    """
    conv = nn.Conv2d(channels, channels, 1, groups=channels, bias=False)
    conv.weight = nn.Parameter(torch.ones_like(conv.weight))
    return conv


def in_tiles(conv: nn.Conv2d, tile: int = 4) -> nn.Sequential:
    """The same 3×3 convolution to one channel, computed `tile` × `tile` pixels at a time, one to a channel.

    ONNX Runtime (1.31, CPU) computes 8 or 16 output channels at once, wanted or not: 0.6 ms of full's 10.
    """
    weight = conv.weight.detach()  # (1, C, 3, 3)
    wide = weight.new_zeros(tile, tile, weight.shape[1], tile + 2, tile + 2)
    for row in range(tile):
        for column in range(tile):
            wide[row, column, :, row : row + 3, column : column + 3] = weight[0]
    tiles = nn.Conv2d(weight.shape[1], tile * tile, tile + 2, stride=tile, padding=1)
    tiles.weight = nn.Parameter(wide.flatten(0, 1))  # (16, C, 6, 6)
    assert conv.bias is not None
    tiles.bias = nn.Parameter(conv.bias.detach().expand(tile * tile).clone())
    return nn.Sequential(tiles, nn.PixelShuffle(tile))


def refine(points: Tensor, heatmaps: Tensor) -> Tensor:
    """Move landmarks to the centre of gravity of their heatmap nearby, where it is sure of them.

    `points` is (N, J, 2), px of the crop; `heatmaps` (N, J, 64, 64) before the sigmoid, and cell k stands for
    the coordinate k · 256 / 64. The method is MediaPipe's RefineLandmarksFromHeatmapCalculator. On 110
    photographs it raises mean OKS from .636 to .660 (lite), .675 to .699 (full), .735 to .763 (heavy).
    """
    cells = heatmaps.shape[-1]
    pixels = SIDE / cells
    near = torch.arange(-REACH, REACH + 1)  # (7,)
    centre = (points / pixels).floor().long()  # (N, J, 2)
    x, y = (centre[..., axis, None] + near for axis in (0, 1))  # (N, J, 7) each
    index = y.clamp(0, cells - 1)[..., :, None] * cells + x.clamp(0, cells - 1)[..., None, :]  # (N, J, 7, 7)
    exists = inside(y, cells)[..., :, None] & inside(x, cells)[..., None, :]  # (N, J, 7, 7)
    logits = heatmaps.flatten(2).gather(2, index.flatten(2)).reshape(index.shape)  # (N, J, 7, 7)
    weights = logits.sigmoid() * exists  # (N, J, 7, 7)
    total = weights.sum(dim=(2, 3)).clamp(min=SURE)  # (N, J)
    found_x = (weights.sum(dim=2) * x).sum(dim=2) / total  # (N, J)
    found_y = (weights.sum(dim=3) * y).sum(dim=2) / total  # (N, J)
    sure = (weights.amax(dim=(2, 3)) >= SURE) & inside(centre, cells).all(dim=2)  # (N, J)
    return torch.where(sure[..., None], torch.stack([found_x, found_y], dim=-1) * pixels, points)  # (N, J, 2)


def inside(index: Tensor, cells: int) -> Tensor:
    """Whether indices are those of cells that exist; same shape, bool."""
    return (index >= 0) & (index < cells)
