"""Boxes, anchors and pooling of the R-CNNs, on numbers that can be checked by hand."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bodystream.models.nets.rcnn.anchors import about_zero, level_anchors, strides
from bodystream.models.nets.rcnn.boxes import (
    BOX_WEIGHTS,
    RPN_WEIGHTS,
    clip,
    decode,
    encode,
    iou,
    large,
    nms,
    nms_within,
)
from bodystream.models.nets.rcnn.pooling import fitting_level, pool, roi_align

CPU = torch.device("cpu")


def test_code_of_a_box_by_hand():
    anchor = torch.tensor([[10.0, 20, 30, 60]])  # 20 × 40 about 20, 40
    box = torch.tensor([[20.0, 20, 60, 60]])  # 40 × 40 about 40, 40
    code = encode(box, anchor, RPN_WEIGHTS)
    torch.testing.assert_close(code, torch.tensor([[1.0, 0, math.log(2), 0]]))
    torch.testing.assert_close(encode(box, anchor, BOX_WEIGHTS), code * torch.tensor([10.0, 10, 5, 5]))
    torch.testing.assert_close(decode(code, anchor, RPN_WEIGHTS), box)


def test_a_box_grows_by_a_limited_factor():
    grown = decode(torch.tensor([[0.0, 0, 100, 100]]), torch.tensor([[0.0, 0, 16, 16]]), RPN_WEIGHTS)
    torch.testing.assert_close(grown, torch.tensor([[-492.0, -492, 508, 508]]), rtol=1e-4, atol=0)


def test_clip_knows_rows_from_columns():
    boxes = torch.tensor([[[-1.0, -2, 50, 60], [5, 6, 7, 8]]])
    cut = clip(boxes, torch.tensor([30.0, 40.0]))
    assert cut.tolist() == [[[0, 0, 40, 30], [5, 6, 7, 8]]]
    assert large(cut[0], 3).tolist() == [True, False]


def test_iou_by_hand():
    first = torch.tensor([[0.0, 0, 10, 10]])
    second = torch.tensor([[0.0, 0, 10, 10], [5, 0, 15, 10], [10, 10, 20, 20]])
    torch.testing.assert_close(iou(first, second), torch.tensor([[1, 1 / 3, 0]]))


def test_suppressed_boxes_suppress_nobody():
    # Each overlaps its neighbour by 1/3: the second goes for the first, so that the third stays.
    boxes = torch.tensor([[0.0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10]])
    scores = torch.tensor([0.9, 0.8, 0.7])
    assert nms(boxes, scores, 0.3).tolist() == [0, 2]
    assert nms(boxes, scores, 0.4).tolist() == [0, 1, 2]


def test_of_equal_scores_the_earlier_stays():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10], [1, 0, 11, 10]])
    assert nms(boxes, torch.tensor([0.5, 0.5, 0.5]), 0.5).tolist() == [0]


def test_overlap_at_the_threshold_stays():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5]])
    assert nms(boxes, torch.tensor([0.9, 0.8]), 0.5).tolist() == [0, 1]


def test_groups_do_not_suppress_each_other():
    boxes = torch.tensor([[0.0, 0, 10, 10]] * 4)
    scores = torch.tensor([0.1, 0.4, 0.3, 0.2])
    assert nms_within(boxes, scores, torch.tensor([0, 1, 0, 1]), 0.5).tolist() == [1, 2]


def test_no_boxes_no_suppression():
    none = torch.zeros(0, 4)
    assert nms(none, torch.zeros(0), 0.5).tolist() == []
    assert nms_within(none, torch.zeros(0), torch.zeros(0, dtype=torch.int64), 0.5).tolist() == []


def test_nms_is_the_greedy_one():
    generator = torch.Generator().manual_seed(0)
    low = torch.rand(120, 2, generator=generator) * 40
    boxes = torch.cat([low, low + 1 + torch.rand(120, 2, generator=generator) * 40], 1)
    scores = torch.rand(120, generator=generator)
    kept: list[int] = []
    for candidate in scores.argsort(descending=True).tolist():
        if all(iou(boxes[[candidate]], boxes[[one]]) <= 0.5 for one in kept):
            kept.append(candidate)
    assert nms(boxes, scores, 0.5).tolist() == kept


def test_anchors_of_torchvision_are_whole_pixels():
    assert about_zero(32, rounded=True) == [[-23, -11, 23, 11], [-16, -16, 16, 16], [-11, -23, 11, 23]]


def test_anchors_of_detectron2_have_equal_areas():
    for x0, y0, x1, y1 in about_zero(32, rounded=False):
        assert math.isclose((x1 - x0) * (y1 - y0), 32 * 32)


def test_anchors_run_along_rows_three_to_a_cell():
    anchors = level_anchors((2, 3), (8, 4), 32, True, CPU)
    assert anchors.shape == (18, 4)
    np.testing.assert_array_equal(anchors[4], [4 - 16, -16, 4 + 16, 16])
    np.testing.assert_array_equal(anchors[10], [-16, 8 - 16, 16, 8 + 16])


def test_strides_of_a_level_with_a_cell_too_many():
    shapes = [(40, 80), (20, 40), (10, 20), (5, 10), (3, 5)]
    assert strides(shapes, (160, 320), exact=False) == [(4, 4), (8, 8), (16, 16), (32, 32), (53, 64)]
    assert strides(shapes, (160, 320), exact=True)[-1] == (64, 64)


@pytest.mark.parametrize(
    ("side", "level"), [(0, 0), (111, 0), (112, 1), (223, 1), (224, 2), (448, 3), (4000, 3)]
)
def test_level_of_a_box_is_that_of_the_paper(side, level):
    box = torch.tensor([[5.0, 5, 5 + side, 5 + side]])
    assert fitting_level(box, 4, 224).tolist() == [level]


def test_roi_align_of_a_ramp_gives_the_bins_middles():
    columns = torch.arange(20.0).expand(1, 1, 20, 20)
    roi = torch.tensor([[0.0, 8, 8, 40, 40]])  # 2..10 in cells of 4 px
    for sampling in (0, 1, 2, 3):
        found = roi_align(columns, roi, 4, 0.25, sampling, aligned=False)
        np.testing.assert_allclose(found[0, 0], np.tile([3.0, 5, 7, 9], (4, 1)), rtol=1e-6)
        aligned = roi_align(columns, roi, 4, 0.25, sampling, aligned=True)
        np.testing.assert_allclose(aligned[0, 0], np.tile([2.5, 4.5, 6.5, 8.5], (4, 1)), rtol=1e-6)


def test_roi_align_reads_its_own_picture():
    features = torch.tensor([1.0, 2.0])[:, None, None, None].expand(2, 1, 8, 8)
    rois = torch.tensor([[1.0, 0, 0, 16, 16], [0, 0, 0, 16, 16]])
    assert roi_align(features, rois, 2, 0.25, 2, False).mean((1, 2, 3)).tolist() == [2, 1]


def test_roi_align_of_no_boxes_and_of_empty_ones():
    features = torch.ones(1, 3, 8, 8)
    assert roi_align(features, torch.zeros(0, 5), 7, 0.25, 2, False).shape == (0, 3, 7, 7)
    nothing = torch.zeros(1, 5)
    for sampling in (0, 2):
        for aligned in (False, True):
            assert roi_align(features, nothing, 2, 0.25, sampling, aligned).isfinite().all()


def test_roi_align_has_the_right_gradient():
    features = torch.randn(2, 1, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    features.requires_grad_()
    rois = torch.tensor([[0.0, 3, 4, 14, 15], [1, -5, 2, 20, 30]], dtype=torch.float64)
    for sampling in (0, 2):
        assert torch.autograd.gradcheck(lambda x, s=sampling: roi_align(x, rois, 2, 0.25, s, True), features)


def test_pool_reads_each_box_from_its_level():
    pyramid = [torch.full((1, 1, 64 >> k, 64 >> k), float(k)) for k in range(4)]
    rois = torch.tensor([[0.0, 0, 0, 20, 20], [0, 0, 0, 240, 240], [0, 0, 0, 120, 120]])
    assert pool(pyramid, rois, 7, 2, False, 224).mean((1, 2, 3)).tolist() == [0, 2, 1]
    alone = pool(pyramid[:1], rois, 7, 2, False, 224)
    assert alone.shape == (3, 1, 7, 7)
    assert not alone.any()


@pytest.mark.parametrize("sampling", [0, 2])
def test_exported_pooling_gives_the_same(sampling):
    generator = torch.Generator().manual_seed(0)
    pyramid = [torch.randn(1, 4, 64 >> k, 64 >> k, generator=generator) for k in range(4)]
    low = torch.rand(6, 2, generator=generator) * 100
    boxes = torch.cat([low, low + torch.rand(6, 2, generator=generator) * 150], 1)
    rois = F.pad(boxes, (1, 0))

    class Pool(torch.nn.Module):
        def forward(self, maps, rois):
            return pool(maps, rois, 7, sampling, False, 224)

    program = torch.export.export(Pool(), (pyramid, rois))
    names = [str(node.target) for node in program.graph.nodes]
    assert names.count("bodystream.roi_align.default") == 4
    torch.testing.assert_close(program.module()(pyramid, rois), pool(pyramid, rois, 7, sampling, False, 224))
