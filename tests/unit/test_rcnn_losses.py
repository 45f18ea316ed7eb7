"""What R-CNNs are trained on."""

import math

import numpy as np
import pytest
import torch

from bodystream.models.nets.rcnn.cse_head import embedding_loss, nearest_vertex, unit
from bodystream.models.nets.rcnn.densepose_head import DenseOutput
from bodystream.models.nets.rcnn.losses import (
    COARSE,
    UV,
    Chosen,
    Targets,
    chart_losses,
    choose,
    keypoint_loss,
    mask_loss,
    rcnn_losses,
    rpn_losses,
    seen,
)
from bodystream.models.nets.rcnn.matching import LEFT_OUT, NOBODY, match, sample
from tests.rcnn import tiny

NONE = torch.zeros(0, dtype=torch.int64)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_matches_by_overlap():
    overlap = torch.tensor([[0.8, 0.5, 0.1, 0.0], [0.0, 0.6, 0.2, 0.0]])
    assert match(overlap, 0.3, 0.7, best_too=False).tolist() == [0, LEFT_OUT, NOBODY, NOBODY]
    # The second is the best of the second row, whatever it is.
    assert match(overlap, 0.3, 0.7, best_too=True).tolist() == [0, 1, NOBODY, NOBODY]
    assert match(overlap[:0], 0.3, 0.7, best_too=True).tolist() == [NOBODY] * 4


def test_nobody_is_best_who_overlaps_nobody():
    assert match(torch.zeros(1, 3), 0.3, 0.7, best_too=True).tolist() == [NOBODY] * 3


def test_samples_both_kinds_and_follows_the_generator():
    matched = torch.tensor([0] * 20 + [NOBODY] * 50 + [LEFT_OUT] * 10)
    positive, negative = sample(matched, 16, 0.25, seeded())
    assert (len(positive), len(negative)) == (4, 12)
    assert (matched[positive] == 0).all()
    assert (matched[negative] == NOBODY).all()
    again = sample(matched, 16, 0.25, seeded())
    assert positive.tolist() == again[0].tolist()
    few, rest = sample(torch.tensor([0, NOBODY, NOBODY, NOBODY]), 3, 0.5, seeded())
    assert (few.tolist(), len(rest)) == ([0], 2)


def test_rpn_losses_by_hand():
    anchors = torch.tensor([[0.0, 0, 10, 10], [50, 50, 60, 60]])
    targets = [Targets(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([0]))]
    losses = rpn_losses(
        torch.tensor([[2.0, -1.0]]), torch.tensor([[[1.0, 0, 0, 0], [9, 9, 9, 9]]]), anchors, targets, 4, None
    )
    expected = (math.log1p(math.exp(-2)) + math.log1p(math.exp(-1))) / 2
    assert losses["objectness"].item() == pytest.approx(expected)
    assert losses["rpn_box"].item() == pytest.approx(
        (1 - 0.5 / 9) / 2
    )  # straight beyond 1/9, over two samples


def test_true_boxes_are_proposals_too():
    targets = Targets(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([0]))
    chosen = choose(torch.tensor([[50.0, 50, 60, 60]]), targets, 3, 8, None)
    assert chosen.rois.tolist() == [[3, 0, 0, 10, 10], [3, 50, 50, 60, 60]]
    assert chosen.whose.tolist() == [0]
    nobody = choose(torch.zeros(0, 4), Targets(torch.zeros(0, 4), NONE), 0, 8, None)
    assert (nobody.rois.shape, len(nobody.whose)) == ((0, 5), 0)


def test_maps_are_seen_through_the_box():
    maps = torch.zeros(1, 1, 4, 4)
    maps[0, 0, 1, 2] = 1  # at 20..30, 10..20 px of a frame of 40 px
    targets = Targets(
        torch.tensor([[0.0, 0, 40, 40]]), torch.tensor([0]), frames=torch.tensor([[0.0, 0, 40, 40]])
    )
    through = Chosen(torch.tensor([[0.0, 20, 10, 40, 30]]), torch.tensor([0]))
    assert seen(maps, targets, through, 2, "nearest").tolist() == [[[[1, 0], [0, 0]]]]
    outside = Chosen(torch.tensor([[0.0, 40, 40, 80, 80]]), torch.tensor([0]))
    assert not seen(maps, targets, outside, 2, "nearest").any()
    with pytest.raises(ValueError, match="no frames"):
        seen(maps, Targets(targets.boxes, targets.labels), through, 2, "nearest")


def whole(**maps: torch.Tensor) -> tuple[list[Chosen], list[Targets]]:
    """One person whose box, frame and roi are 0..28 px."""
    box = torch.tensor([[0.0, 0, 28, 28]])
    return [Chosen(torch.tensor([[0.0, 0, 0, 28, 28]]), torch.tensor([0]))], [
        Targets(box, torch.tensor([0]), frames=box, **maps)
    ]


def test_mask_loss_of_a_right_and_a_wrong_mask():
    truth = torch.zeros(1, 28, 28, dtype=torch.bool)
    truth[0, :14] = True
    chosen, targets = whole(masks=truth)
    logits = torch.where(truth, 5.0, -5.0)[:, None]
    assert mask_loss(logits, chosen, targets).item() == pytest.approx(math.log1p(math.exp(-5)), rel=1e-3)
    assert mask_loss(-logits, chosen, targets).item() == pytest.approx(5 + math.log1p(math.exp(-5)), rel=1e-3)


def test_keypoint_loss_looks_at_the_joint_s_cell():
    joints = torch.tensor([[[0.0, 28, 1], [14, 7, 1], [3, 3, 0]]])  # the third is not visible
    chosen, targets = whole(keypoints=joints)
    logits = torch.zeros(1, 3, 56, 56)
    logits[0, 0, 55, 0] = logits[0, 1, 14, 28] = 50
    assert keypoint_loss(logits, chosen, targets).item() == pytest.approx(0, abs=1e-6)
    assert keypoint_loss(logits * 0, chosen, targets).item() == pytest.approx(math.log(56 * 56))


def test_chart_losses_by_hand():
    part = torch.zeros(1, 2, 2, dtype=torch.uint8)
    part[0, 0, 0] = 3
    uv = torch.zeros(1, 2, 2, 2)
    uv[0, :, 0, 0] = torch.tensor([0.25, 0.75])
    chosen, targets = whole(parts=part, uv=uv)
    zeros = torch.zeros(1, 25, 2, 2)
    u = zeros.clone()
    u[0, 3, 0, 0] = 0.25
    losses = chart_losses(DenseOutput(torch.zeros(1, 2, 2, 2), zeros, u, zeros), chosen, targets)
    assert losses["coarse"].item() == pytest.approx(COARSE * math.log(2))
    assert losses["fine"].item() == pytest.approx(math.log(25))
    assert losses["uv"].item() == pytest.approx(UV * (0.75**2 / 2) / 2)


def test_embedding_loss_is_least_at_the_right_vertex():
    vertices = unit(torch.randn(50, 16, generator=seeded()))
    truth = torch.tensor([7, 30])
    assert nearest_vertex(3 * vertices[truth], vertices).tolist() == truth.tolist()
    right = embedding_loss(3 * vertices[truth], vertices, truth, 0.01)
    wrong = embedding_loss(vertices[truth.flip(0)], vertices, truth, 0.01)
    assert right < 0.01 < wrong
    assert embedding_loss(torch.zeros(0, 16), vertices, NONE, 0.01) == 0


def scene(people: int) -> Targets:
    generator = seeded()
    low = torch.rand(people, 2, generator=generator) * 20
    boxes = torch.cat([low, low + 20 + 20 * torch.rand(people, 2, generator=generator)], 1)
    return Targets(
        boxes=boxes,
        labels=torch.zeros(people, dtype=torch.int64),
        frames=boxes,
        masks=torch.ones(people, 16, 16, dtype=torch.uint8),
        parts=torch.randint(0, 25, (people, 16, 16), generator=generator),
        uv=torch.rand(people, 2, 16, 16, generator=generator),
        keypoints=torch.cat([boxes[:, None, :2] + 5, torch.ones(people, 1, 1)], -1).expand(-1, 17, -1),
        vertices=torch.randint(-1, 27554, (people, 16, 16), generator=generator),
    )


@pytest.mark.parametrize(
    ("dense", "convention", "people"),
    [
        ("v1convx", "torchvision", (0, 0)),
        ("v1convx", "detectron2", (2, 0)),
        ("deeplab", "torchvision", (1, 3)),
        ("deeplab", "detectron2", (0, 1)),
        ("cse", "detectron2", (1, 0)),
        ("cse", "torchvision", (0, 0)),
    ],
)
def test_all_losses_reach_all_layers_however_many_people(dense, convention, people):
    net = tiny(dense, convention).train()
    pictures = torch.randn(2, 3, 64, 64, generator=seeded())
    losses = rcnn_losses(net, pictures, [scene(n) for n in people], seeded())
    wanted = {"objectness", "rpn_box", "class", "box", "mask", "keypoint", "coarse"}
    assert losses.keys() == wanted | ({"embedding"} if dense == "cse" else {"fine", "uv"})
    total = torch.stack(list(losses.values())).sum()
    total.backward()
    assert total.isfinite()
    if sum(people) == 0:
        assert losses["mask"] == losses["keypoint"] == losses["box"] == losses["coarse"] == 0
    for name, parameter in net.named_parameters():
        if sum(people) > 0 or not name.startswith("roi_heads.") or "box_" in name:
            assert parameter.grad is not None, name
        if parameter.grad is not None:
            assert parameter.grad.isfinite().all(), name


def test_losses_follow_from_the_generator():
    net = tiny("v1convx", "torchvision").train()
    pictures = torch.randn(1, 3, 64, 64, generator=seeded())
    first, second = (rcnn_losses(net, pictures, [scene(2)], seeded()) for _ in range(2))
    assert {name: value.item() for name, value in first.items()} == {
        name: value.item() for name, value in second.items()
    }


def test_pictures_of_boxes_alone_train_the_boxes_alone():
    boxes = scene(2)
    net = tiny("v1convx", "torchvision").train()
    pictures = torch.randn(1, 3, 64, 64, generator=seeded())
    losses = rcnn_losses(net, pictures, [Targets(boxes.boxes, boxes.labels)], seeded())
    np.testing.assert_array_equal([losses[name].item() for name in ("mask", "keypoint", "coarse", "uv")], 0)
    assert losses["box"] > 0
