"""VNect as the pipeline wants it: pixels in, the four kinds of maps out."""

import copy

from torch import Tensor, nn

from bodystream.export.to_onnx import Exportable, pictures
from bodystream.models.nets.vnect import GREY, SIDE, Vnect

TOLERANCES = dict.fromkeys(("heatmaps", "x", "y", "z"), 1e-4)  # of the largest value; of 1 at least


class VnectForExport(nn.Module):
    """Input: uint8 (N, 368, 368, 3) BGR.

    Outputs, float32 (N, 21, 46, 46) each: heatmaps, about 1 at the joint; x, y, z: the joint's place relative to
    the pelvis, right, down, away from the camera, 100 mm to 1, where the heatmap has its maximum.
    """

    def __init__(self, net: Vnect) -> None:
        super().__init__()
        self.net = copy.deepcopy(net).eval()

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """See the class."""
        found = self.net(crops.permute(0, 3, 1, 2).float() / 255 - GREY)  # from (N, 3, 368, 368)
        return found.heatmaps, found.x, found.y, found.z


def vnect_exportable(net: Vnect, side: int = SIDE) -> Exportable:
    """VNect to be exported; crops of another `side` than 368 px, a multiple of 16, are for tests."""
    return Exportable(VnectForExport(net), pictures("crops", side, side, 3), TOLERANCES, growing=TOLERANCES)
