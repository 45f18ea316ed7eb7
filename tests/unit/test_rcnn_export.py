"""An R-CNN's pieces: small ones, each and in a row, against the network in torch."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from bodystream.errors import ExportFailed, ModelError, OutputExists, UsageError
from bodystream.export import prepare as preparing
from bodystream.export import systems
from bodystream.export.check import check, furthest, one_thread, operations_of
from bodystream.export.check_rcnn import _Eager, check_whole, made_up
from bodystream.export.meta import Origin, metadata
from bodystream.export.packed import packed, places, pool_packed, unpacked
from bodystream.export.precision import folded, in_eight_bits, in_half
from bodystream.export.prepare import export_system, prepare_system
from bodystream.export.to_onnx import Exportable, to_onnx
from bodystream.export.wrap_classifier import classifier_exportable
from bodystream.export.wrap_rcnn import conventions_of, pieces
from bodystream.models.nets.backbones.resnet import resnet
from bodystream.models.nets.rcnn.pooling import pool
from bodystream.models.nets.rcnn.system import SYSTEMS, Rcnn, Spec
from bodystream.models.rcnn import Shape, conventions, scaled
from bodystream.models.runtime import open_session
from bodystream.models.systems import parse
from bodystream.models.weights.random import fill, random_rcnn

# An export takes torch seconds, and many of them where others want the cores: three pieces are shared by most tests.
pytestmark = [pytest.mark.usefixtures("one_thread_alone"), pytest.mark.timeout(600)]

SHAPE = Shape(64, 96, 8, 2)
SMALL = {
    "trunk": "resnet18",
    "width": 8,
    "channels": 16,
    "box_hidden": 32,
    "mask_convs": 1,
    "mask_channels": 16,
    "keypoint_convs": 1,
    "keypoint_channels": 16,
    "dense_convs": 1,
    "dense_channels": 32,
    "decoder_channels": 16,
    "pre_nms": 40,
}
WEIGHTS = parse("mask-rcnn-r50-fpn=random:0")


def small(system: str, **more: object) -> Spec:
    return replace(SYSTEMS[system], **{**SMALL, **more})


SPECS = {
    "torchvision's": small("mask-rcnn-r50-fpn", classes=2),
    "all heads": small("mask-rcnn-r50-fpn", classes=2, keypoints=5, dense="v1convx"),
    "detectron2's": small("mask-rcnn-r50-fpn-d2", classes=3),
    "charts from a decoder": small("densepose-r50-fpn-s1x"),
    "fifteen coarse parts": small("densepose-r50-fpn-s1x", decoder=False, coarse=15, dense_bins=14),
    "embeddings": small("densepose-cse-r50-fpn-s1x"),
    "group normalisation": small("rcnn-s"),
}


@pytest.fixture(scope="module")
def one_thread_alone() -> Iterator[None]:
    """So small networks gain nothing by a second one, and lose a lot where others want the core."""
    with one_thread():
        yield


@pytest.fixture(scope="module")
def net(one_thread_alone: None) -> Rcnn:
    return random_rcnn(SPECS["torchvision's"], 0)


@pytest.fixture(scope="module")
def made(net: Rcnn, tmp_path_factory: pytest.TempPathFactory) -> systems.Made:
    """The pieces, exported and checked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(systems, "load", lambda *_: ("mask-rcnn-r50-fpn", net))
        return export_system(WEIGHTS, SHAPE, tmp_path_factory.mktemp("onnx"))


@pytest.fixture
def never_traced(net: Rcnn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The small network, and files that say nothing instead of an export."""
    monkeypatch.setattr(systems, "load", lambda *_: ("mask-rcnn-r50-fpn", net))
    monkeypatch.setattr(systems, "to_onnx", lambda part, path, *_: path.write_text("no ONNX"))


def differences(part: Exportable) -> dict[str, float]:
    """How far a module is from its reference, in torch, ties left out, at all of its sizes."""
    found = dict.fromkeys(part.tolerances, 0.0)
    reference = part.reference or part.module
    with torch.inference_mode():
        for size in part.sizes:
            inputs = part.example(size).values()
            wanted, have = reference.eval()(*inputs), part.module.eval()(*inputs)
            ties = part.ties(*inputs) if part.ties else {}
            for name, want, own in zip(part.tolerances, wanted, have, strict=True):
                assert (own.shape, own.dtype) == (want.shape, want.dtype)
                off = furthest(own.numpy(), want.numpy(), ties[name].numpy() if name in ties else None)
                largest = float(want.abs().amax()) if name in part.growing and want.numel() else 1.0
                found[name] = max(found[name], off / max(1.0, largest))
    return found


# -- the modules


@pytest.mark.parametrize(
    ("kind", "shape"), [*((kind, SHAPE) for kind in SPECS), ("all heads", Shape(128, 64, 5, 3))]
)
def test_each_piece_is_what_the_network_does(kind: str, shape: Shape):
    parts = pieces(random_rcnn(SPECS[kind], 1), shape)
    for part in parts.values():
        for name, off in differences(part).items():
            assert off <= part.tolerances[name]


def test_pieces_follow_the_spec():
    found = {kind: list(pieces(Rcnn(spec), SHAPE)) for kind, spec in SPECS.items()}
    assert found == {
        "torchvision's": ["trunk", "box", "mask"],
        "all heads": ["trunk", "box", "mask", "keypoint", "dense"],
        "detectron2's": ["trunk", "box", "mask"],
        "charts from a decoder": ["trunk", "box", "dense"],
        "fifteen coarse parts": ["trunk", "box", "dense"],
        "embeddings": ["trunk", "box", "cse"],
        "group normalisation": ["trunk", "box", "mask", "dense"],
    }


@pytest.mark.parametrize(("sampling", "aligned"), [(2, False), (0, True), (0, False), (1, True)])
def test_one_map_is_read_as_four_levels_are(sampling: int, aligned: bool):
    generator = torch.Generator().manual_seed(0)
    height, width = 64, 96
    levels = [torch.randn(1, 3, height >> k, width >> k, generator=generator) for k in (2, 3, 4, 5)]
    map_ = packed(levels)
    for have, want in zip(unpacked(map_, height, width), levels, strict=True):
        assert torch.equal(have, want)
    limit = torch.tensor([width, height] * 2)
    corners = torch.rand(200, 2, generator=generator) * limit[:2]
    boxes = torch.cat([corners, corners + 2 ** (8 * torch.rand(200, 2, generator=generator) - 1)], dim=1)
    # slivers at both far edges, of which half a cell lies outside; nothing; everything
    odd = [[95.8, 0, 96, 64], [0, 63.9, 96, 64], [95.9, 63.9, 96, 64], [0, 0, 0, 0], [0, 0, 96, 64]]
    boxes = torch.minimum(torch.cat([torch.tensor(odd), boxes]), limit)
    rois = torch.cat([torch.zeros(len(boxes), 1), boxes], dim=1)
    for bins in (7, 14):
        have = pool_packed(map_, boxes, places(height, width), bins, sampling, aligned, 50.0)
        want = pool(levels, rois, bins, sampling, aligned, 50.0)
        torch.testing.assert_close(have, want, atol=1e-4, rtol=0)


def test_normalisations_go_into_convolutions():
    trunk = resnet("resnet18", classes=3, width=8).eval()
    fill(trunk, 0)
    one = folded(trunk)
    assert not any(isinstance(each, torch.nn.BatchNorm2d) for each in one.modules())
    assert any(isinstance(each, torch.nn.BatchNorm2d) for each in trunk.modules())
    picture = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(one(picture), trunk(picture), rtol=1e-4, atol=1e-4)


# -- the files


def test_files_are_checked_and_hold_no_control_flow(made: systems.Made):
    assert [file.name for file in made.files.values()] == [
        f"mask-rcnn-r50-fpn.{piece}.onnx" for piece in ("trunk", "box", "mask")
    ]
    for piece, checked in made.checked.items():
        assert checked.forbidden == 0
        assert checked.nodes == operations_of(made.files[piece]).total() > 20
        assert min(checked.session_ms, checked.torch_ms) > 0
        assert operations_of(made.files[piece])["RoiAlign"] == (piece != "trunk")


def test_the_pieces_in_a_row_find_what_torch_finds(made: systems.Made):
    assert [finding.what for finding in made.whole] == [
        f"{people} of {size} px" for size in ("96x64", "192x96") for people in (0, 1, 2)
    ]
    assert all(finding.ok for finding in made.whole)
    assert made.whole[0].detail == "nobody, and none of the heads objects"
    assert made.whole[2].detail.startswith("2 of 2 are torch's, boxes ")
    assert "mask.masks" in made.whole[2].detail


def test_the_files_say_how_they_are_joined(made: systems.Made, net: Rcnn):
    trunk = open_session(made.files["trunk"], device="cpu")
    assert conventions(trunk.metadata) == conventions_of(net, SHAPE)
    assert (trunk.name, trunk.stage, trunk.precision) == ("mask-rcnn-r50-fpn.trunk", "trunk", "fp32")
    assert trunk.inputs["image"].shape == (1, 64, 96, 3)
    assert trunk.outputs == ("pyramid", "boxes", "scores", "levels")
    box = open_session(made.files["box"], device="cpu")
    assert {name: each.shape for name, each in box.inputs.items()} == {
        "pyramid": (1, 16, 23, 42),
        "boxes": (8, 4),
        "size": (2,),
    }
    assert json.loads(box.metadata["sources"]) == {"mask-rcnn-r50-fpn=random:0": box.sha256}


def test_what_they_are_compared_with_is_the_whole_network(net: Rcnn):
    image = made_up(SHAPE)[0]
    shape = replace(SHAPE, proposals=60)
    canvas, size, scale = scaled(image, conventions_of(net, shape))
    assert scale.tolist() == [1, 1]
    with torch.inference_mode():
        eager = _Eager(net, shape, torch.from_numpy(canvas), torch.from_numpy(size))
        boxes, scores = eager.people()
        eager.net.spec = replace(eager.net.spec, detections=10**6)
        found = eager.net(torch.from_numpy(canvas))
    people = found.labels == net.spec.person
    np.testing.assert_array_equal(found.boxes[people].numpy(), boxes)
    np.testing.assert_array_equal(found.scores[people].numpy(), scores)
    assert len(boxes) > 2


def test_a_person_elsewhere_is_noticed(made: systems.Made, net: Rcnn):
    other = random_rcnn(SPECS["torchvision's"], 7)
    findings = check_whole(made.files, other, SHAPE, "fp32")
    assert not all(finding.ok for finding in findings)
    assert all(finding.ok for finding in check_whole(made.files, net, SHAPE, "fp32"))


@pytest.mark.parametrize(
    ("kind", "piece", "opset"),
    [
        ("all heads", "dense", 20),
        pytest.param("all heads", "keypoint", 19, marks=pytest.mark.slow),
        pytest.param("charts from a decoder", "trunk", 20, marks=pytest.mark.slow),
        pytest.param("charts from a decoder", "dense", 18, marks=pytest.mark.slow),
        pytest.param("detectron2's", "box", 18, marks=pytest.mark.slow),
        pytest.param("embeddings", "cse", 18, marks=pytest.mark.slow),
    ],
)
def test_files_of_other_pieces_and_operator_sets(kind: str, piece: str, opset: int, tmp_path: Path):
    part, path = pieces(random_rcnn(SPECS[kind], 0), SHAPE)[piece], tmp_path / "piece.onnx"
    to_onnx(part, path, metadata(piece, part.module, Origin(piece, "", {}), opset=opset), opset=opset)
    assert onnx.load(path).opset_import[0].version == opset
    assert check(path, part, part.sizes).forbidden == 0


# -- what cannot be made


def test_a_failing_check_leaves_no_file(never_traced: None, tmp_path: Path):
    with pytest.raises(ModelError, match="is not an ONNX file that runs here"):
        export_system(WEIGHTS, SHAPE, tmp_path / "onnx")
    assert list((tmp_path / "onnx").iterdir()) == []


def test_people_that_are_not_found_leave_no_file(
    made: systems.Made, never_traced: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    def copied(part: Exportable, path: Path, *_: object) -> None:
        shutil.copy(made.files[path.name.split(".")[1]], path)

    monkeypatch.setattr(systems, "to_onnx", copied)
    other = random_rcnn(SPECS["torchvision's"], 7)
    monkeypatch.setattr(systems, "check_whole", lambda paths, net, *more: check_whole(paths, other, *more))
    (tmp_path / "mask-rcnn-r50-fpn.box.onnx").write_text("the user's own")
    with pytest.raises(ExportFailed, match="was not kept: ✗ whole: 1 of 96x64 px: ") as error:
        export_system(WEIGHTS, SHAPE, tmp_path, overwrite=True)
    assert "\n" not in str(error.value)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["the user's own"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"opset": 17}, "--opset 17: expected 18 to 20"),
        ({"opset": 21}, "--opset 21: expected 18 to 20"),
        ({"precision": "fp8"}, "--precision fp8: expected fp32, fp16, int8"),
        ({"precision": "int8"}, "--precision int8 and --calibrate FILES go together"),
        ({"images": made_up(SHAPE)}, "--precision int8 and --calibrate FILES go together"),
    ],
)
def test_wishes_that_cannot_be_met(never_traced: None, tmp_path: Path, change: dict[str, object], told: str):
    with pytest.raises(UsageError, match=told):
        export_system(WEIGHTS, SHAPE, tmp_path / "onnx", **change)
    assert not (tmp_path / "onnx").exists()


def test_int8_is_for_trunks(never_traced: None, tmp_path: Path):
    with pytest.raises(
        UsageError, match="--precision int8 is for the backbone of an R-CNN; vnect takes fp16"
    ):
        export_system(parse("vnect=random:0"), SHAPE, tmp_path, precision="int8", images=made_up(SHAPE))


def test_existing_files_and_folders_that_cannot_be_written(never_traced: None, tmp_path: Path):
    mine = tmp_path / "mask-rcnn-r50-fpn.mask.onnx"
    mine.write_text("mine")
    with pytest.raises(OutputExists, match=r"mask\.onnx: exists already; add --overwrite"):
        export_system(WEIGHTS, SHAPE, tmp_path)
    with pytest.raises(ModelError, match=r"trunk\.onnx cannot be written: .+; name another folder"):
        export_system(WEIGHTS, SHAPE, mine)
    assert mine.read_text() == "mine"


# -- the cache


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Makes empty files, and tells in which folders."""
    folders: list[Path] = []

    def make(_: systems.Request, folder: Path, **__: object) -> None:
        folders.append(folder)
        folder.mkdir(parents=True)
        for piece in ("trunk", "box"):
            (folder / f"mask-rcnn-r50-fpn.{piece}.onnx").touch()

    monkeypatch.setattr(systems, "make", make)
    return folders


def test_a_system_is_prepared_once(quick: list[Path], tmp_path: Path):
    first = prepare_system(WEIGHTS, SHAPE, directory=tmp_path)
    assert first.name == "mask-rcnn-r50-fpn"
    assert first.pieces.keys() == {"trunk", "box"}
    assert all(file.is_file() for file in first.pieces.values())
    assert prepare_system(WEIGHTS, SHAPE, directory=tmp_path) == first
    assert len(quick) == 1
    assert [folder.name for folder in tmp_path.iterdir()] == [first.pieces["box"].parent.name]


def test_of_two_that_prepare_a_system_one_is_quicker(
    quick: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    make = systems.make

    def overtaken(request: systems.Request, folder: Path, **_: object) -> None:
        make(request, folder)
        shutil.copytree(folder, folder.with_name(folder.name.split(".part")[0].rsplit(".", 1)[0]))

    monkeypatch.setattr(systems, "make", overtaken)
    found = prepare_system(WEIGHTS, SHAPE, directory=tmp_path)
    assert list(tmp_path.iterdir()) == [found.pieces["box"].parent]


def test_all_that_went_into_a_system_counts(
    quick: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def prepared(weights: str = "random:0", shape: Shape = SHAPE, precision: str = "fp32") -> str:
        return str(prepare_system(parse(weights), shape, precision, directory=tmp_path).pieces["box"])

    file = tmp_path / "model.pth"
    file.write_bytes(b"some")
    found = {prepared(), prepared("random:1"), prepared(precision="fp16"), prepared(str(file))}
    found |= {prepared(f"mask-rcnn-r50-fpn={file}"), prepared(shape=replace(SHAPE, people=3))}
    file.write_bytes(b"other")
    found.add(prepared(str(file)))
    monkeypatch.setattr(preparing, "_code", lambda: b"other code")
    found.add(prepared())
    assert len(found) == len(quick) == 8


def test_a_failure_leaves_nothing_in_the_cache(never_traced: None, tmp_path: Path):
    with pytest.raises(ModelError):
        prepare_system(WEIGHTS, SHAPE, directory=tmp_path)
    assert list(tmp_path.iterdir()) == []


# -- precision


@pytest.mark.parametrize("piece", ["trunk", "box", "keypoint", "dense"])
def test_half_precision_is_near(piece: str):
    part = pieces(random_rcnn(SPECS["all heads"], 0), SHAPE, "fp16")[piece]
    for name, off in differences(part).items():
        assert off <= part.tolerances[name]
    halves = {each.dtype for each in part.module.parameters()}
    assert halves == {torch.float16}
    assert all(each.dtype == torch.float32 for each in part.module.buffers())


@pytest.mark.slow
def test_a_file_in_half_precision_runs_and_keeps_boxes_whole(net: Rcnn, tmp_path: Path):
    part, path = pieces(net, SHAPE, "fp16")["box"], tmp_path / "box.onnx"
    to_onnx(part, path, metadata("box", part.module, Origin("box", "", {}), "fp16"))
    assert check(path, part, part.sizes).differences["refined"] < 0.5
    inferred = onnx.shape_inference.infer_shapes(onnx.load(path)).graph
    types = {value.name: value.type.tensor_type.elem_type for value in inferred.value_info}
    kinds = {node.op_type: types.get(node.output[0]) for node in inferred.node}
    assert kinds["RoiAlign"] == kinds["Softmax"] == kinds["Exp"] == onnx.TensorProto.FLOAT
    assert onnx.TensorProto.FLOAT16 in types.values()


def test_networks_of_one_piece_in_half_precision():
    net = resnet("resnet18", classes=10, width=8)
    fill(net, 0)
    part = in_half(classifier_exportable(net, 64))
    assert 1e-6 < differences(part)["logits"] <= part.tolerances["logits"]
    assert {each.dtype for each in part.module.parameters()} == {torch.float16}
    assert {each.dtype for each in net.parameters()} == {torch.float32}


def test_eight_bits(made: systems.Made, net: Rcnn, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    path = tmp_path / "trunk.onnx"
    shutil.copy(made.files["trunk"], path)
    conv = conventions_of(net, SHAPE)
    canvases = [scaled(image, conv)[:2] for image in made_up(SHAPE)]
    feeds = [{"image": canvas, "size": size} for canvas, size in canvases]
    in_eight_bits(path, feeds)
    assert list(tmp_path.iterdir()) == [path]
    operations = operations_of(path)
    assert operations["QuantizeLinear"] > 20
    assert operations["Conv"] == operations_of(made.files["trunk"])["Conv"]
    session, plain = (open_session(file, device="cpu") for file in (path, made.files["trunk"]))
    assert session.metadata == plain.metadata
    want, have = (each.run(feeds[0])["pyramid"].numpy() for each in (plain, session))
    assert 0 < np.abs(have - want).mean() < 0.2 * np.abs(want).mean()
    weights = {each.name: each.data_type for each in onnx.load(path).graph.initializer}
    assert weights["features.rpn.head.conv.0.0.weight"] == onnx.TensorProto.FLOAT
    assert onnx.TensorProto.INT8 in weights.values()
    assert capfd.readouterr().out == ""


@pytest.mark.slow
def test_resnet_50_at_full_size(tmp_path: Path):
    with one_thread():
        made = export_system(WEIGHTS, Shape(480, 640, 100, 5), tmp_path)
    assert all(finding.ok for finding in made.whole)
    assert all(checked.forbidden == 0 for checked in made.checked.values())
