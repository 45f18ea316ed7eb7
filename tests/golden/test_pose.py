"""From what the network says of a crop to the image: numbers small enough to check by hand."""

import cv2
import numpy as np
import pytest
import torch

from bodystream.export.wrap_pose import PoseForExport, in_tiles, refine
from bodystream.models.crop import Crop
from bodystream.models.keypoints import COCO, COCO_KEYPOINTS, EDGES, KEYPOINTS, SWAP, layout_of
from bodystream.models.pose import PoseNet, pose_of, upright
from bodystream.models.store import fetch
from bodystream.models.weights.blazepose import load_blazepose
from tests.parity.record_blazepose import CROPS


def said(points):
    """Landmarks (39, 5) of which the ones named in `points` are set; visibility 0.5, presence 0.8."""
    landmarks = np.zeros((39, 5), np.float32)
    landmarks[:, 3:] = 0.5, 0.8
    for index, xy in points.items():
        landmarks[index, :2] = xy
    return landmarks


def test_landmarks_of_an_upright_crop():
    # 256 crop px are 512 image px: scale 2, corner at (44, -56).
    landmarks = said({0: (128, 64), 33: (128, 128), 34: (128, 28)})
    world = np.zeros((39, 3), np.float32)
    world[0] = 0.1, -0.6, -0.2
    pose = pose_of(Crop(300, 200, 512), landmarks, np.float32(0.9), np.zeros((256, 256), np.uint8), world)
    np.testing.assert_allclose(pose.landmarks[0], [300, 72, 0.4], rtol=1e-6)
    np.testing.assert_allclose(pose.world[0], [0.1, -0.6, -0.2, 0.4], rtol=1e-6)
    assert pose.presence == pytest.approx(0.9)
    assert pose.next_crop == Crop(300, 200, 500, 0)  # 100 crop px up: radius 200, and a quarter more
    np.testing.assert_array_equal(pose.to_image, [[2, 0, 44], [0, 2, -56]])
    assert pose.landmarks.shape == (33, 3) and pose.world.shape == (33, 4)
    assert pose.landmarks.dtype == pose.world.dtype == np.float32


def test_a_turned_crop_turns_everything_back():
    # The person lies, head to the right: up in the crop is right in the image.
    landmarks = said({0: (128, 64), 33: (128, 128), 34: (128, 28)})
    world = np.zeros((39, 3), np.float32)
    world[0] = 0.1, -0.6, -0.2
    crop = Crop(300, 200, 512, np.pi / 2)
    pose = pose_of(crop, landmarks, np.float32(1), np.zeros((256, 256), np.uint8), world)
    np.testing.assert_allclose(pose.landmarks[0, :2], [428, 200], atol=1e-4)
    np.testing.assert_allclose(pose.world[0, :3], [0.6, 0.1, -0.2], atol=1e-6)
    assert pose.next_crop.angle == pytest.approx(np.pi / 2, abs=1e-6)


def test_upright_leaves_the_depth_alone():
    turned = upright(np.float32([[1, 0, 5], [0, 1, 5]]), np.pi)
    np.testing.assert_allclose(turned, [[-1, 0, 5], [0, -1, 5]], atol=1e-6)
    assert turned.dtype == np.float32


class Recorder:
    """A session that keeps what it was given."""

    def __init__(self):
        self.batches = []

    def __call__(self, batch):
        self.batches.append(batch)
        n = len(batch)
        return (
            np.zeros((n, 39, 5), np.float32),
            np.linspace(0, 1, n, dtype=np.float32),
            np.zeros((n, 256, 256), np.uint8),
            np.zeros((n, 39, 3), np.float32),
        )


def test_all_crops_go_in_one_batch_and_come_back_in_order():
    session = Recorder()
    image = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    crops = [Crop(128, 128, 256), Crop(172, 150, 256, np.pi), Crop(200, 150, 30)]
    poses = PoseNet(session)(image, crops)
    (batch,) = session.batches
    assert (batch.shape, batch.dtype) == ((3, 256, 256, 3), np.uint8)
    np.testing.assert_array_equal(batch[0], image[:256, :256])
    np.testing.assert_array_equal(batch[1], image[22:278, 44:300][::-1, ::-1])
    assert [pose.presence for pose in poses] == [0, 0.5, 1]
    assert [pose.to_image[0, 0] for pose in poses] == pytest.approx([1, -1, 30 / 256])


def test_nobody_is_not_run():
    session = Recorder()
    assert PoseNet(session)(np.zeros((8, 8, 3), np.uint8), []) == []
    assert session.batches == []


def heat(*cells):
    """One heatmap (1, 1, 64, 64) with logit 0 (probability one half) in cells (x, y), -100 elsewhere."""
    logits = torch.full((1, 1, 64, 64), -100.0)
    for x, y in cells:
        logits[0, 0, y, x] = 0
    return logits


@pytest.mark.parametrize(
    ("point", "cells", "expected"),
    [
        ((81.0, 40.0), [(20, 10)], (80, 40)),  # cell (20, 10) stands for (80, 40)
        ((81.0, 40.0), [(20, 10), (23, 12)], (86, 44)),  # the mean of two
        ((81.0, 40.0), [(20, 10), (24, 10)], (80, 40)),  # the second is four cells away: not seen
        ((81.0, 40.0), [], (81, 40)),  # nothing there: as it was
        ((1.0, 254.0), [(0, 63), (1, 63)], (2, 252)),  # at the edge of the map
        ((-3.0, 40.0), [(0, 10)], (-3, 40)),  # out of the crop: as it was
        ((256.5, 40.0), [(63, 10)], (256.5, 40)),
    ],
)
def test_refine_takes_the_centre_of_gravity_nearby(point, cells, expected):
    found = refine(torch.tensor([[point]]), heat(*cells))
    np.testing.assert_allclose(found[0, 0], expected, atol=1e-4)


def test_refine_does_not_believe_a_weak_peak():
    found = refine(torch.tensor([[[81.0, 40.0]]]), heat((20, 10)) - 0.1)
    np.testing.assert_array_equal(found[0, 0], [81, 40])


def test_a_convolution_in_tiles_is_the_same_convolution():
    torch.manual_seed(0)
    conv, image = torch.nn.Conv2d(5, 1, 3, padding=1), torch.rand(2, 5, 16, 24)
    with torch.inference_mode():
        torch.testing.assert_close(in_tiles(conv)(image), conv(image))


@pytest.mark.weights
def test_a_person_upside_down_is_the_same_person():
    net = PoseForExport(load_blazepose(fetch("blazepose-lite"))).eval()

    def session(batch):
        with torch.inference_mode():
            return tuple(output.numpy() for output in net(torch.from_numpy(batch)))

    image = cv2.imread(str(CROPS[1]))
    (upright_,) = PoseNet(session)(image, [Crop(128, 128, 256)])
    (turned,) = PoseNet(session)(np.ascontiguousarray(image[::-1, ::-1]), [Crop(128, 128, 256, np.pi)])
    assert upright_.presence > 0.9
    np.testing.assert_allclose(turned.presence, upright_.presence, atol=1e-5)
    np.testing.assert_allclose(turned.landmarks[:, :2], 256 - upright_.landmarks[:, :2], atol=0.01)
    np.testing.assert_allclose(turned.landmarks[:, 2], upright_.landmarks[:, 2], atol=1e-4)
    np.testing.assert_allclose(turned.world[:, :3], upright_.world[:, :3] * [-1, -1, 1], atol=1e-4)
    # Both wrists are over the head in the picture, and under it when the picture stands on its head.
    nose, wrists = KEYPOINTS.index("nose"), [KEYPOINTS.index(f"{side}_wrist") for side in ("left", "right")]
    assert (upright_.landmarks[wrists, 1] < upright_.landmarks[nose, 1]).all()
    assert (turned.landmarks[wrists, 1] > turned.landmarks[nose, 1]).all()
    # The silhouette covers the nose and leaves the sky alone.
    column, row = upright_.landmarks[nose, :2].astype(int)
    assert upright_.mask[row, column] > 250 and upright_.mask[5, 5] < 5


def test_keypoints():
    assert len(KEYPOINTS) == len(set(KEYPOINTS)) == 33
    assert [KEYPOINTS[index] for index in COCO] == list(COCO_KEYPOINTS)
    np.testing.assert_array_equal(SWAP[SWAP], np.arange(33))
    assert SWAP[0] == 0 and KEYPOINTS[SWAP[KEYPOINTS.index("mouth_left")]] == "mouth_right"
    assert (KEYPOINTS.index("left_hip"), KEYPOINTS.index("left_knee"), "left") in EDGES
    assert layout_of(KEYPOINTS).crowded == {*range(11), *range(17, 23)}
    np.testing.assert_array_equal(layout_of(KEYPOINTS).coco, COCO)
    assert (KEYPOINTS.index("left_hip"), KEYPOINTS.index("right_hip"), "middle") in EDGES
    mirrored = {(frozenset((int(SWAP[a]), int(SWAP[b])))) for a, b, _ in EDGES}
    assert mirrored == {frozenset((a, b)) for a, b, _ in EDGES}
    with pytest.raises(ValueError, match="read-only"):
        SWAP[0] = 1
