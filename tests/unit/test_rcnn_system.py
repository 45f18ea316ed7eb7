"""R-CNNs put together: tables of layers, pieces against the whole, and nobody in the picture."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bodystream.models.nets.backbones.norm import FrozenBatchNorm, norm
from bodystream.models.nets.rcnn.cse_head import EmbeddingOutput, VertexEmbedder
from bodystream.models.nets.rcnn.densepose_head import Aspp, ChartPredictor, Decoder, DenseOutput, NonLocal
from bodystream.models.nets.rcnn.system import SYSTEMS, Rcnn, with_picture
from bodystream.models.weights.random import random_rcnn
from tests.rcnn import tiny, tiny_spec


def image(h: int, w: int) -> torch.Tensor:
    return torch.randint(0, 256, (1, h, w, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


# Parameters of the heads of detectron2's `densepose_rcnn_R_50_FPN_s1x` by its names, from its configuration: 256
# channels, decoder of 256, eight convolutions of 512, 2 coarse channels, 24 charts and the background.
DECODER = {
    f"decoder.{level}.{2 * number}.{kind}": (256, 256, 3, 3) if kind == "weight" else (256,)
    for level, convolutions in (("p2", 1), ("p3", 1), ("p4", 2), ("p5", 3))
    for number in range(convolutions)
    for kind in ("weight", "bias")
} | {"decoder.predictor.weight": (256, 256, 1, 1), "decoder.predictor.bias": (256,)}
V1CONVX = {
    f"densepose_head.body_conv_fcn{number}.{kind}": (512, 256 if number == 1 else 512, 3, 3)
    if kind == "weight"
    else (512,)
    for number in range(1, 9)
    for kind in ("weight", "bias")
}
PREDICTOR = {
    f"densepose_predictor.{name}.{kind}": (512, channels, 4, 4) if kind == "weight" else (channels,)
    for name, channels in (
        ("ann_index_lowres", 2),
        ("index_uv_lowres", 25),
        ("u_lowres", 25),
        ("v_lowres", 25),
    )
    for kind in ("weight", "bias")
}
# `..._DL_s1x`: ASPP with rates 6, 12, 56, its convolutions and the eight after it without bias, group normalised.
DEEPLAB = (
    {
        f"densepose_head.ASPP.convs.{view}.{1 if view == 4 else 0}.weight": (
            256,
            256,
            *((1, 1) if view in (0, 4) else (3, 3)),
        )
        for view in range(5)
    }
    | {
        f"densepose_head.ASPP.convs.{view}.{2 if view == 4 else 1}.{kind}": (256,)
        for view in range(5)
        for kind in ("weight", "bias")
    }
    | {"densepose_head.ASPP.project.0.weight": (256, 1280, 1, 1)}
    | {
        f"densepose_head.body_conv_fcn{number}.weight": (512, 256 if number == 1 else 512, 3, 3)
        for number in range(1, 9)
    }
    | {
        f"densepose_head.body_conv_fcn{number}.norm.{kind}": (512,)
        for number in range(1, 9)
        for kind in ("weight", "bias")
    }
)
# `cse/densepose_rcnn_R_50_FPN_s1x`: 16 dimensions, 27554 vertices of 256 features.
EMBEDDING = {
    f"densepose_predictor.{name}.{kind}": (512, channels, 4, 4) if kind == "weight" else (channels,)
    for name, channels in (("coarse_segm_lowres", 2), ("embed_lowres", 16))
    for kind in ("weight", "bias")
} | {
    "embedder.embedder_smpl_27554.features": (27554, 256),
    "embedder.embedder_smpl_27554.embeddings": (256, 16),
}


@pytest.mark.parametrize(
    ("system", "table"),
    [
        ("densepose-r50-fpn-s1x", DECODER | V1CONVX | PREDICTOR),
        ("densepose-r50-fpn-dl-s1x", DECODER | DEEPLAB | PREDICTOR),
        ("densepose-cse-r50-fpn-s1x", DECODER | V1CONVX | EMBEDDING),
    ],
)
def test_dense_heads_are_those_of_detectron2s_configuration(system, table):
    with torch.device("meta"):
        net = Rcnn(SYSTEMS[system])
    heads = {name: tuple(each.shape) for name, each in net.roi_heads.state_dict().items()}
    dense = {name: shape for name, shape in heads.items() if not name.startswith("box_")}
    assert dense == table
    assert heads["box_predictor.cls_score.weight"] == (2, 1024)
    assert heads["box_predictor.bbox_pred.weight"] == (4, 1024)  # no box for the background


def test_heads_of_detectron2_have_no_background():
    with torch.device("meta"):
        heads = Rcnn(SYSTEMS["mask-rcnn-r50-fpn-d2"]).roi_heads.state_dict()
    assert heads["box_predictor.cls_score.weight"].shape == (81, 1024)
    assert heads["box_predictor.bbox_pred.weight"].shape == (320, 1024)
    assert heads["mask_predictor.mask_fcn_logits.weight"].shape == (80, 256, 1, 1)


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_can_be_made(system):
    with torch.device("meta"):
        net = Rcnn(SYSTEMS[system])
    assert net.spec == SYSTEMS[system]


@pytest.mark.parametrize(
    ("dense", "convention", "h", "w"),
    [
        ("v1convx", "torchvision", 70, 61),
        ("v1convx", "detectron2", 64, 96),
        ("deeplab", "detectron2", 70, 61),
        ("cse", "torchvision", 64, 96),
    ],
)
def test_a_picture_gets_everything_that_the_heads_say(dense, convention, h, w):
    net = random_rcnn(tiny_spec(dense, convention), 0)
    with torch.inference_mode():
        found = net(image(h, w))
    people = len(found.boxes)
    assert people > 0
    assert (found.scores.diff() <= 0).all()
    assert (found.boxes[:, :2] >= 0).all()
    assert (found.boxes[:, 2:] <= torch.tensor([w, h])).all()
    assert found.masks is not None
    assert found.keypoints is not None
    assert found.masks.shape == (people, 28, 28)
    assert found.keypoints.shape == (people, 17, 56, 56)
    if dense == "cse":
        assert isinstance(found.dense, EmbeddingOutput)
        assert found.dense.embedding.shape == (people, 16, 112, 112)
    else:
        assert isinstance(found.dense, DenseOutput)
        assert [each.shape[1:] for each in found.dense] == [(2, 112, 112)] + [(25, 112, 112)] * 3


@pytest.mark.parametrize("convention", ["torchvision", "detectron2"])
def test_nobody_in_the_picture(convention):
    net = random_rcnn(replace(tiny_spec("v1convx", convention), min_score=2.0), 0)
    with torch.inference_mode():
        found = net(image(64, 64))
    assert found.boxes.shape == (0, 4)
    assert found.masks is not None
    assert found.masks.shape == (0, 28, 28)
    assert found.keypoints is not None
    assert found.keypoints.shape == (0, 17, 56, 56)
    assert found.dense is not None
    assert [len(each) for each in found.dense] == [0] * 4


def test_no_proposals_no_detections():
    net = random_rcnn(replace(tiny_spec("cse", "torchvision"), min_size=1e6), 0)
    with torch.inference_mode():
        found = net(image(64, 64))
    assert found.boxes.shape == (0, 4)
    assert found.dense is not None
    assert len(found.dense.coarse) == 0


def test_candidates_lie_in_the_picture_and_the_best_of_a_level_come_first():
    net = tiny("v1convx", "torchvision").eval()
    with torch.inference_mode():
        pyramid = net.pyramid(net.normalised(image(64, 96)))
        boxes, logits, levels = net.candidates(pyramid, torch.tensor([50.0, 80.0]))
    assert boxes.shape == (1, len(levels), 4)
    assert (boxes[..., 2:] <= torch.tensor([80.0, 50.0])).all()
    assert levels.bincount().tolist() == [
        50,
        50,
        50,
        18,
        6,
    ]  # 3 · 2 · 3 cells' anchors on P5, 3 · 1 · 2 on P6
    for level in range(5):
        assert (logits[0, levels == level].diff() <= 0).all()


def test_each_picture_of_a_batch_has_its_own_size():
    net = tiny("v1convx", "torchvision").eval()
    with torch.inference_mode():
        pyramid = net.pyramid(net.normalised(image(64, 96).expand(2, -1, -1, -1)))
        boxes, _, _ = net.candidates(pyramid, torch.tensor([[50.0, 80.0], [64.0, 96.0]]))
    assert boxes[0, :, 2].max() <= 80
    assert boxes[1, :, 2].max() > 80


def test_pixels_are_normalised_by_each_convention():
    grey = torch.tensor([10, 20, 30], dtype=torch.uint8).expand(1, 2, 2, 3)  # blue, green, red
    rgb = Rcnn(tiny_spec("v1convx", "torchvision")).normalised(grey)[0, :, 0, 0]
    np.testing.assert_allclose(
        rgb, [(30 / 255 - 0.485) / 0.229, (20 / 255 - 0.456) / 0.224, (10 / 255 - 0.406) / 0.225], rtol=1e-5
    )
    bgr = Rcnn(tiny_spec("v1convx", "detectron2")).normalised(grey)[0, :, 0, 0]
    np.testing.assert_allclose(bgr, [10 - 103.53, 20 - 116.28, 30 - 123.675], rtol=1e-6)


def test_masks_are_the_persons():
    net = tiny("v1convx", "torchvision").eval()
    with torch.inference_mode():
        pyramid = net.pyramid(net.normalised(image(64, 64)))
        rois = with_picture(torch.tensor([[4.0, 4, 40, 40]]), 0)
        logits = net.mask_logits(pyramid, rois)
        assert logits.shape == (1, 2, 28, 28)
        torch.testing.assert_close(net.masks(pyramid, rois), logits[:, 0].sigmoid())


def test_pyramid_of_a_constant_is_halved_each_time():
    net = tiny("v1convx", "torchvision").eval()
    with torch.inference_mode():
        pyramid = net.pyramid(torch.zeros(1, 3, 64, 96))
    assert [tuple(level.shape[2:]) for level in pyramid] == [(16, 24), (8, 12), (4, 6), (2, 3), (1, 2)]
    torch.testing.assert_close(pyramid[4], pyramid[3][:, :, ::2, ::2])


def test_frozen_normalisation_is_the_affine_map_of_its_statistics():
    frozen = FrozenBatchNorm(2, eps=0.0)
    frozen.weight[:] = torch.tensor([2.0, 1.0])
    frozen.bias[:] = torch.tensor([1.0, 0.0])
    frozen.running_mean[:] = torch.tensor([3.0, 0.0])
    frozen.running_var[:] = torch.tensor([4.0, 1.0])
    found = frozen(torch.tensor([5.0, 7.0])[None, :, None, None])
    assert found.flatten().tolist() == [3.0, 7.0]
    assert not list(frozen.parameters())


def test_there_are_three_normalisations():
    assert isinstance(norm("batch", 0.0)(16), torch.nn.BatchNorm2d)
    group = norm("group", 0.0)(32)
    assert isinstance(group, torch.nn.GroupNorm)
    assert group.num_groups == 4
    with pytest.raises(KeyError):
        norm("none", 0.0)


def test_random_weights_follow_from_the_seed():
    spec = tiny_spec("v1convx", "torchvision")
    first, second, other = (random_rcnn(spec, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["rpn.head.cls_logits.weight"], other["rpn.head.cls_logits.weight"])


def only_middle(convolution: torch.nn.Conv2d, value: float) -> None:
    """Every output channel becomes `value` times the sum of all input channels' own cells."""
    middle = convolution.kernel_size[0] // 2
    with torch.no_grad():
        convolution.weight.zero_()
        convolution.weight[:, :, middle, middle] = value
        if convolution.bias is not None:
            convolution.bias.zero_()


def test_decoder_adds_the_levels():
    decoder = Decoder(before=2, channels=2, after=3)
    for each in decoder.modules():
        if isinstance(each, torch.nn.Conv2d):
            only_middle(each, 0.5)  # the mean of two channels
    pyramid = [torch.full((1, 2, 16 >> k, 32 >> k), 10.0**k) for k in range(4)]
    found = decoder(pyramid)
    assert found.shape == (1, 3, 16, 32)
    np.testing.assert_allclose(found.detach().numpy(), 1111, rtol=1e-6)
    assert not decoder([-level for level in pyramid]).any()  # rectified level by level


def test_aspp_sees_far_in_four_rates_and_everything():
    aspp = Aspp(64)
    norms = [each for each in aspp.modules() if isinstance(each, torch.nn.GroupNorm)]
    rates = [view[0].dilation for view in list(aspp.convs)[1:4]]
    assert (len(norms), rates) == (5, [(6, 6), (12, 12), (56, 56)])
    # Of a constant the pointwise views are normalised to nothing: what is left are the shifts, one to a view.
    with torch.no_grad():
        for number, each in enumerate(norms):
            each.bias[:] = 10.0**number
        only_middle(aspp.project[0], 1 / 64)
        for view in (1, 2, 3):
            only_middle(aspp.convs[view][0], 1.0)
    found = aspp(torch.ones(1, 64, 28, 28))
    np.testing.assert_allclose(found.detach().numpy(), 11111, rtol=1e-5)


def test_non_local_block_starts_as_the_identity_and_then_adds_a_mean():
    block = NonLocal(64)
    x = torch.randn(2, 64, 4, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(block(x), x)
    with torch.no_grad():
        block.theta.weight.zero_()
        block.theta.bias.zero_()  # all cells are equally near: each sees the mean of all
        block.W[1] = torch.nn.Identity()
        seen = block.g(x).mean((2, 3))  # (2, 32)
        added = block.W[0](seen[:, :, None, None])  # (2, 64, 1, 1)
        torch.testing.assert_close(block(x), x + added, rtol=1e-4, atol=1e-5)


def test_charts_are_enlarged_between_the_middles_of_cells():
    predictor = ChartPredictor(8, 2)
    x = torch.randn(1, 8, 28, 28, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        low, high = predictor.unenlarged(x), predictor(x)
    assert low.u.shape == (1, 25, 56, 56)
    assert high.u.shape == (1, 25, 112, 112)
    along = high.u[0, 0, 0]  # the first row lies on the edge, the columns a quarter beside the cells
    torch.testing.assert_close(along[1], 0.75 * low.u[0, 0, 0, 0] + 0.25 * low.u[0, 0, 0, 1])
    torch.testing.assert_close(along[2], 0.25 * low.u[0, 0, 0, 0] + 0.75 * low.u[0, 0, 0, 1])
    # Cell 1 of the transposed convolution, kernel 4, stride 2, padding 1: taps 2 of cell 0 and 0 of cell 1.
    kernel = predictor.v_lowres.weight[:, 5]  # (8, 4, 4)
    by_hand = (x[0, :, :2, :2] * kernel[:, [2, 0]][:, :, [2, 0]]).sum() + 0.5
    torch.testing.assert_close(low.v[0, 5, 1, 1], by_hand.detach())


def test_embedding_of_vertices_is_of_unit_length():
    embedder = VertexEmbedder()
    with torch.no_grad():
        embedder.features[3, 0] = 2
        embedder.embeddings[0, :2] = torch.tensor([3.0, 4.0])
    found = embedder().detach()
    assert found.shape == (27554, 16)
    torch.testing.assert_close(found[3, :2], torch.tensor([0.6, 0.8]))
    assert not found[0].any()
