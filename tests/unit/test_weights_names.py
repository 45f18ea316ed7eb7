"""Names of published checkpoints brought to the networks', and the account of what does not fit."""

import pickle
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bodystream.errors import UsageError, WeightsMismatch
from bodystream.models.nets.rcnn.system import SYSTEMS as RCNNS
from bodystream.models.nets.rcnn.system import Rcnn, Spec
from bodystream.models.systems import DEFAULT, NAMES, SYSTEMS, WeightsSpec, kind_of, parse
from bodystream.models.weights import detectron2, matching, networks, torchvision, vnect
from bodystream.models.weights.checkpoint import Checkpoint, read
from bodystream.models.weights.random import fill
from tests.parity.record_detectron2_rcnn import detectron2_name

TINY: dict[str, object] = {
    "width": 8,
    "channels": 32,  # as many as DeepLab's head has groups
    "box_hidden": 8,
    "mask_channels": 8,
    "keypoint_channels": 8,
    "dense_channels": 32,
    "decoder_channels": 8,
}


def tiny(system: str) -> Spec:
    return replace(RCNNS[system], **TINY)


def load_rcnn(text: str, path: Path | None = None) -> tuple[str, nn.Module]:
    return networks.load(parse(text), path, ("rcnn", "densepose"))


# -- what is asked for


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("model.pth", WeightsSpec(None, "model.pth")),
        ("vnect=vnect.caffemodel", WeightsSpec("vnect", "vnect.caffemodel")),
        ("random:7", WeightsSpec(DEFAULT, "random:7", 7)),
        ("densepose-r50-fpn-s1x=random:0", WeightsSpec("densepose-r50-fpn-s1x", "random:0", 0)),
        ("mask-rcnn-r50-fpn-d2", WeightsSpec("mask-rcnn-r50-fpn-d2", "mask-rcnn-r50-fpn-d2")),  # of the zoo
        ("rcnn-s=a=b.safetensors", WeightsSpec("rcnn-s", "a=b.safetensors")),
    ],
)
def test_what_weights_are_asked_for(text: str, spec: WeightsSpec) -> None:
    assert parse(text) == spec


def test_a_file_with_an_equals_sign_in_its_name(tmp_path: Path) -> None:
    (tmp_path / "lr=1.pth").touch()
    assert parse(str(tmp_path / "lr=1.pth")).system is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mask-rcnn=model.pth", "no system called 'mask-rcnn'; known: faster-rcnn-r50-fpn, "),
        ("random:x", "the seed 'x' is no whole number"),
        ("vnect=", "names no weights"),
    ],
)
def test_what_cannot_be_asked_for(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        parse(text)


def test_the_names_are_those_of_the_networks() -> None:
    assert {*SYSTEMS["rcnn"], *SYSTEMS["densepose"]} == RCNNS.keys()
    assert [name for name in RCNNS if RCNNS[name].dense and name != "rcnn-s"] == list(SYSTEMS["densepose"])
    assert set(SYSTEMS["semantic"]) == networks.SEMANTIC.keys()
    assert set(SYSTEMS["classifier"]) == networks.CLASSIFIERS.keys()
    assert len(set(NAMES)) == len(NAMES)
    with pytest.raises(UsageError, match="no system called 'yolo'"):
        kind_of("yolo")


# -- names


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [  # as they stand in public code that reads detectron2's checkpoints
        ("backbone.bottom_up.stem.conv1.norm.running_mean", "backbone.body.bn1.running_mean"),
        ("backbone.bottom_up.res2.0.shortcut.weight", "backbone.body.layer1.0.downsample.0.weight"),
        ("backbone.bottom_up.res5.0.shortcut.norm.bias", "backbone.body.layer4.0.downsample.1.bias"),
        ("backbone.bottom_up.res4.22.conv3.norm.running_var", "backbone.body.layer3.22.bn3.running_var"),
        ("backbone.bottom_up.res3.1.conv2.weight", "backbone.body.layer2.1.conv2.weight"),
        ("backbone.fpn_lateral2.weight", "backbone.fpn.inner_blocks.0.0.weight"),
        ("backbone.fpn_output5.bias", "backbone.fpn.layer_blocks.3.0.bias"),
        ("proposal_generator.rpn_head.conv.weight", "rpn.head.conv.0.0.weight"),
        ("proposal_generator.rpn_head.objectness_logits.bias", "rpn.head.cls_logits.bias"),
        ("proposal_generator.rpn_head.anchor_deltas.weight", "rpn.head.bbox_pred.weight"),
        ("roi_heads.box_head.fc2.weight", "roi_heads.box_head.fc7.weight"),
        ("roi_heads.box_predictor.cls_score.weight", "roi_heads.box_predictor.cls_score.weight"),
        ("roi_heads.mask_head.mask_fcn4.bias", "roi_heads.mask_head.3.0.bias"),
        ("roi_heads.mask_head.deconv.weight", "roi_heads.mask_predictor.conv5_mask.weight"),
        ("roi_heads.mask_head.predictor.bias", "roi_heads.mask_predictor.mask_fcn_logits.bias"),
        ("roi_heads.keypoint_head.conv_fcn8.weight", "roi_heads.keypoint_head.14.weight"),
        ("roi_heads.keypoint_head.score_lowres.bias", "roi_heads.keypoint_predictor.kps_score_lowres.bias"),
        ("roi_heads.densepose_head.body_conv_fcn1.weight", "roi_heads.densepose_head.body_conv_fcn1.weight"),
    ],
)
def test_detectron2s_names(theirs: str, ours: str) -> None:
    assert detectron2.our_name(theirs) == ours
    assert detectron2_name(ours) == theirs


@pytest.mark.parametrize(
    ("published", "current"),
    [
        ("backbone.fpn.inner_blocks.3.weight", "backbone.fpn.inner_blocks.3.0.weight"),
        ("backbone.fpn.layer_blocks.0.bias", "backbone.fpn.layer_blocks.0.0.bias"),
        ("rpn.head.conv.weight", "rpn.head.conv.0.0.weight"),
        ("rpn.head.cls_logits.weight", "rpn.head.cls_logits.weight"),
        ("roi_heads.mask_head.mask_fcn1.weight", "roi_heads.mask_head.0.0.weight"),
        ("features.denseblock4.denselayer16.norm.1.running_mean",
         "features.denseblock4.denselayer16.norm1.running_mean"),
        ("features.denseblock1.denselayer1.conv.2.weight", "features.denseblock1.denselayer1.conv2.weight"),
        ("features.transition1.norm.weight", "features.transition1.norm.weight"),
    ],
)  # fmt: skip
def test_torchvisions_published_names(published: str, current: str) -> None:
    assert torchvision.current_name(published) == current
    assert torchvision.current_name(current) == current


@pytest.mark.parametrize(
    ("system", "layout"),
    [(name, "torchvision") for name in NAMES]
    + [(name, "detectron2") for kind in ("rcnn", "densepose") for name in SYSTEMS[kind]],
)
def test_every_system_is_recognised_by_names_and_shapes(system: str, layout: str) -> None:
    state = networks.shapes(system)
    if layout == "detectron2":
        state = {detectron2_name(name): each for name, each in state.items()}
    found = networks.recognise(Checkpoint(state, "torch", {}, ()))
    assert (found.system, found.fits, found.layout) == (system, True, layout)
    assert len(found.report.matched) == len(state)


@pytest.mark.parametrize("system", ["mask-rcnn-r50-fpn", "faster-rcnn-r50-fpn-d2"])
def test_what_somebody_trained_on_people_only_is_read_as_such(tmp_path: Path, system: str) -> None:
    state = networks.shapes(system, classes=1)
    path = tmp_path / "people.pth"
    torch.save(
        {name: torch.zeros((), dtype=each.dtype).expand(each.shape) for name, each in state.items()}, path
    )
    found, net = load_rcnn(str(path), path)
    assert (found, net.spec.classes, net.spec.person) == (system, 1, 0)


@pytest.mark.parametrize(
    "system",
    ["mask-rcnn-r50-fpn-d2", "keypoint-rcnn-r50-fpn-d2", "densepose-r50-fpn-s1x", "densepose-r50-fpn-dl-s1x"],
)
def test_round_trip_through_a_detectron2_pickle(tmp_path: Path, system: str) -> None:
    net = Rcnn(tiny(system))
    fill(net, 3)
    model = {detectron2_name(name): tensor.numpy() for name, tensor in net.state_dict().items()}
    extra = {"pixel_mean": np.zeros((3, 1, 1), np.float32)}
    extra |= {
        f"proposal_generator.anchor_generator.cell_anchors.{level}": np.zeros((3, 4)) for level in range(5)
    }
    path = tmp_path / "model_final.pkl"
    path.write_bytes(pickle.dumps({"model": model | extra, "__author__": "Detectron2 Model Zoo"}))

    tensors, names, layout = networks.named(read(path))
    other = Rcnn(tiny(system))
    report = matching.compare(other.state_dict(), tensors, names)
    assert (layout, report.faults, len(report.ignored)) == ("detectron2", 0, 6)
    assert {name for name, _ in report.ignored} == extra.keys()
    matching.put(other, tensors, names)
    for name, tensor in net.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor)


def test_caffes_layers_become_the_networks() -> None:
    shapes = networks.shapes("vnect")
    state = {
        name: torch.tensor(1 + k / 8).expand(each.shape) for k, (name, each) in enumerate(shapes.items())
    }
    del state["bn5c_branch2a.num_batches_tracked"]
    blobs: dict[str, Tensor] = {}
    for name, tensor in state.items():
        layer, _, part = name.rpartition(".")
        if layer != "bn5c_branch2a":
            blobs[f"{layer}.{('weight', 'bias').index(part)}"] = tensor
    bn = "bn5c_branch2a"
    blobs |= {f"{bn}.0": state[f"{bn}.running_mean"] * 4, f"{bn}.1": state[f"{bn}.running_var"] * 4}
    blobs |= {f"{bn}.2": torch.tensor([4.0])}  # sums of four batches
    blobs |= {"scale5c_branch2a.0": state[f"{bn}.weight"], "scale5c_branch2a.1": state[f"{bn}.bias"]}
    old = {name: blob[None, None, None] if blob.ndim == 1 else blob for name, blob in blobs.items()}
    for each in (blobs, old):
        found = networks.recognise(Checkpoint(each, "caffe", {}, ()))
        assert (found.system, found.fits, found.layout) == ("vnect", True, "Caffe")
        for name, tensor in vnect.from_caffe(each).items():
            first = (0,) * tensor.ndim  # all the others are the same
            assert (tensor.shape, tensor[first]) == (state[name].shape, state[name][first])
    assert [name for name, _ in found.report.ignored] == [f"{bn}.num_batches_tracked"]


# -- what does not fit


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 1)
        self.bn = nn.BatchNorm2d(2)


def test_every_entry_of_both_sides_is_accounted_for() -> None:
    file = {
        "conv.weight": torch.zeros(2, 1, 1, 1),
        "conv.bias": torch.zeros(3),
        "bn.weight": torch.zeros(2, dtype=torch.int64),
        "bn.running_mean": torch.zeros(2, dtype=torch.float16),
        "bn.running_mean.copy": torch.zeros(2),
        "pixel_std": torch.zeros(3),
        "head.weight": torch.zeros(1),
    }
    report = matching.compare(Small().state_dict(), file, {name: name.removesuffix(".copy") for name in file})
    assert report.matched == ("conv.weight", "bn.running_mean")
    assert report.missing == ("bn.bias", "bn.running_var")
    assert report.unexpected == ("bn.running_mean.copy", "head.weight")
    assert [str(each) for each in report.misfits] == [
        "conv.bias is (3,) instead of (2,)",
        "bn.weight is torch.int64 instead of torch.float32",
    ]
    assert [name for name, _ in report.ignored] == ["bn.num_batches_tracked", "pixel_std"]
    assert report.faults == 6
    assert report.summary() == (
        "2 missing (bn.bias, bn.running_var); 2 unexpected (bn.running_mean.copy, head.weight); 2 of another shape "
        "(conv.bias is (3,) instead of (2,), bn.weight is torch.int64 instead of torch.float32)"
    )


def saved(path: Path, system: str, **changes: Tensor) -> Path:
    """A file of the system's names and shapes whose numbers are all one number."""
    state = {
        name: torch.zeros((), dtype=each.dtype).expand(each.shape)
        for name, each in networks.shapes(system).items()
    }
    torch.save({**state, **changes}, path)
    return path


def test_a_wrong_architecture_is_one_line_that_names_the_right_one(tmp_path: Path) -> None:
    path = saved(tmp_path / "model.pth", "keypoint-rcnn-r50-fpn")
    with pytest.raises(WeightsMismatch) as caught:
        load_rcnn(f"mask-rcnn-r50-fpn={path}", path)
    said = str(caught.value)
    assert said.startswith(
        f"{path} does not fit mask-rcnn-r50-fpn: 12 missing (roi_heads.mask_head.0.0.weight, "
        "roi_heads.mask_head.0.0.bias, roi_heads.mask_head.1.0.weight, …); 18 unexpected "
    )
    assert "The names look like keypoint-rcnn-r50-fpn." in said
    assert f"bodystream models inspect {path}" in said
    assert "\n" not in said


def test_another_convention_is_told_by_its_shapes(tmp_path: Path) -> None:
    path = saved(tmp_path / "model.pth", "mask-rcnn-r50-fpn-d2")
    with pytest.raises(WeightsMismatch) as caught:
        load_rcnn(f"mask-rcnn-r50-fpn={path}", path)
    assert (
        "6 of another shape (roi_heads.box_predictor.cls_score.weight is (81, 1024) instead of (91, 1024), "
        in str(caught.value)
    )
    assert "The names look like mask-rcnn-r50-fpn-d2." in str(caught.value)


def test_a_file_that_nearly_fits_is_not_taken(tmp_path: Path) -> None:
    path = saved(tmp_path / "resnet.pth", "resnet-50", extra=torch.zeros(1))
    with pytest.raises(
        WeightsMismatch, match=r"looks like resnet-50 and does not fit it: 1 unexpected \(extra\)"
    ):
        networks.load(parse(str(path)), path, ("classifier",))


def test_a_file_of_something_else(tmp_path: Path) -> None:
    torch.save({"encoder.0": torch.zeros(1), "encoder.1": torch.zeros(1)}, tmp_path / "a.pth")
    with pytest.raises(
        WeightsMismatch, match=r"like no system that is known: 2 tensors \(encoder.0, encoder.1, …\)"
    ):
        networks.load(parse("a.pth"), tmp_path / "a.pth", ("rcnn",))


@pytest.mark.parametrize("text", ["resnet-18=random:0", "{path}", "resnet-18={path}"])
def test_a_system_of_another_kind(tmp_path: Path, text: str) -> None:
    path = saved(tmp_path / "resnet.pth", "resnet-18")
    text = text.format(path=path)
    with pytest.raises(
        UsageError, match="resnet-18 is a classifier system; expected one of: faster-rcnn-r50-fpn, "
    ):
        load_rcnn(text, None if "random" in text else path)


# -- loading


def test_a_seed_gives_the_same_network_twice() -> None:
    (system, one), (_, two) = (
        load_rcnn("rcnn-s=random:5"),
        load_rcnn("rcnn-s=random:5"),
    )
    assert system == "rcnn-s" and not one.training
    assert all(
        torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    )


def test_safetensors_say_their_system(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    _, net = load_rcnn("rcnn-s=random:5")
    path = tmp_path / "mine.safetensors"
    save_file(net.state_dict(), path, {"system": "rcnn-s"})
    system, other = load_rcnn(str(path), path)
    assert system == "rcnn-s"
    assert torch.equal(
        other.state_dict()["rpn.head.bbox_pred.weight"], net.state_dict()["rpn.head.bbox_pred.weight"]
    )


@pytest.mark.parametrize(("system", "classes"), [("lenet-5", 7), ("resnet-18", 2), ("googlenet", 5)])
def test_classifiers_of_any_number_of_classes(tmp_path: Path, system: str, classes: int) -> None:
    state = networks.shapes(system, classes)
    path = tmp_path / "mine.pth"
    torch.save(
        {name: torch.zeros((), dtype=each.dtype).expand(each.shape) for name, each in state.items()}, path
    )
    found, net = networks.load(parse(str(path)), path, ("classifier",))
    assert found == system
    assert next(reversed(net.state_dict().values())).shape == (classes,)


def test_half_floats_are_cast(tmp_path: Path) -> None:
    state = networks.shapes("resnet-18")
    half = {name: torch.tensor(0.1).half().expand(each.shape) for name, each in state.items()}
    half |= {name: torch.tensor(3) for name in state if name.endswith("tracked")}
    torch.save(half, tmp_path / "half.pth")
    system, other = networks.load(parse("half.pth"), tmp_path / "half.pth", ("classifier",))
    assert system == "resnet-18"
    assert other.state_dict()["fc.weight"].dtype == torch.float32
    assert other.state_dict()["fc.weight"].unique().tolist() == [0.0999755859375]
