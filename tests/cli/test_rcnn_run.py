"""`run --chain rcnn` from a checkpoint to files: with pieces whose answers are known, and with a small network."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import save_file

from bodystream import results
from bodystream.cli.main import run
from bodystream.export import prepare
from bodystream.export.prepare import Prepared
from bodystream.models.body.data import identity
from bodystream.models.keypoints import COCO_KEYPOINTS
from bodystream.models.nets.rcnn.system import SYSTEMS
from bodystream.models.weights import networks
from bodystream.models.weights.random import random_rcnn
from bodystream.pipeline import stages
from tests.rcnn import CONVENTIONS
from tests.unit.test_rcnn_stages import Piece

TEST = "test:size=64x48,rate=25,frames=3"
TINY = replace(
    SYSTEMS["rcnn-s"],
    width=8,
    channels=16,
    anchors=(8, 12, 16, 24, 32),
    box_hidden=16,
    mask_convs=1,
    mask_channels=8,
    keypoints=17,
    keypoint_convs=1,
    keypoint_channels=8,
    dense_channels=8,
    dense_convs=1,
    pre_nms=40,
    proposals=20,
    detections=5,
)


BOX = np.array([[30, 15, 60, 55]], np.float32)  # px of the canvas


class FakePiece(Piece):
    """A piece with what a file says of itself."""

    def __init__(self, path):
        self.name, self.sha256 = path.name.removesuffix(".onnx"), "ab" * 32
        self.provider, self.precision, self.input = "CPUExecutionProvider", "fp32", (1, 64, 96, 3)
        self.metadata = {"conventions": CONVENTIONS.text()}
        super().__init__(*ANSWERS[self.name.partition(".")[2] or self.name])


def _boxes(feeds):
    scores = np.zeros((10, 1), np.float32)
    scores[0] = 0.9
    return {"scores": scores, "refined": feeds["boxes"][:, None]}


ANSWERS = {
    "trunk": (
        ("image", "size"),
        lambda _: {
            "pyramid": np.zeros(1),
            "boxes": BOX,
            "scores": np.ones(1, np.float32),
            "levels": np.zeros(1),
        },
    ),
    "box": (("pyramid", "boxes", "size"), _boxes),
    "mask": (("pyramid", "boxes"), lambda _: {"masks": np.full((4, 28, 28), 0.9, np.float32)}),
    "keypoint": (("pyramid", "boxes"), lambda _: {"heatmaps": np.zeros((4, 17, 56, 56), np.float32)}),
    "dense": (
        ("pyramid", "boxes"),
        lambda _: {
            "part": np.full((4, 112, 112), 2, np.uint8),
            "uv": np.full((4, 2, 112, 112), 0.5, np.float32),
            "confidence": np.full((4, 112, 112), 200, np.uint8),
        },
    ),
}


@pytest.fixture
def faked(monkeypatch, tmp_path):
    """Pieces whose answers are known, for a checkpoint that is never read."""

    def prepared(weights, shape, **_):
        assert (shape.width, shape.height, shape.proposals) == (96, 64, 10)
        pieces = ("trunk", "box", "mask", "keypoint", "dense")
        return Prepared(weights.system, {name: Path(f"{weights.system}.{name}.onnx") for name in pieces})

    monkeypatch.setattr(prepare, "prepare_system", prepared)
    monkeypatch.setattr(stages, "open_session", lambda path, **_: FakePiece(path))
    return "rcnn-s=random:0"


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """A checkpoint of a small network, and a cache of its own."""
    monkeypatch.setenv("BODYSTREAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(networks.RCNNS, "rcnn-s", TINY)
    networks.shapes.cache_clear()
    weights = tmp_path / "tiny.safetensors"
    save_file(random_rcnn(TINY, 0).state_dict(), weights, {"system": "rcnn-s"})
    yield weights
    networks.shapes.cache_clear()


def command(weights, *outputs):
    sizes = ["--net-size", "96x64", "--proposals", "10", "--min-score", "0.05", "--max-people", "3"]
    words = ["run", TEST, "--chain", "rcnn", "--weights", str(weights), *sizes, "--quiet", "--device", "cpu"]
    return run(words + [word for output in outputs for word in ("-o", str(output))])


def test_from_pieces_to_every_format_that_applies(faked, tmp_path):
    people = through(faked, tmp_path)
    assert len(people) == 3 and {person.id for person in people} == {1}
    scale = np.array(
        [85 / 64, 64 / 48] * 2
    )  # px of the canvas to one of the picture: as large as fits, in whole px
    assert all(np.abs(person.box - BOX[0] / scale).max() < 0.01 for person in people)


@pytest.mark.slow  # the export of five pieces: half a minute of a core
@pytest.mark.timeout(600)
def test_from_a_checkpoint_to_every_format_that_applies(tiny, tmp_path):
    through(tiny, tmp_path)


def through(weights, folder):
    """Run, check what all the files say, and return the people of all frames."""
    names = ["a.jsonl", "a.overlay.mp4", "a.csv", "a.npz", "a.coco.json", "a.iuv"]
    assert command(weights, *(folder / name for name in names)) == 0
    read = results.read(folder / "a.jsonl")
    assert [(model.stage, model.name) for model in read.header.models] == [
        ("trunk", "rcnn-s.trunk"),
        ("boxes", "rcnn-s.box"),
        ("masks", "rcnn-s.mask"),
        ("keypoints", "rcnn-s.keypoint"),
        ("dense", "rcnn-s.dense"),
    ]
    assert read.header.keypoints == COCO_KEYPOINTS
    assert read.header.extra["surface"] == identity()
    assert read.header.settings["chain"] == "rcnn" and read.header.settings["min_score"] == 0.05
    assert not {"detect", "lift", "segment", "joints"} & {*read.header.settings, *read.header.extra}
    ran = {row.stage for row in read.end.rows}
    assert {"trunk", "boxes", "masks", "follow", "keypoints", "dense", "steady"} <= ran
    found = list(read)
    people = [person for result in found for person in result.people]
    assert len(found) == 3 and 1 <= len(people) <= 9
    for person in people:
        assert (person.box >= 0).all() and (person.box <= [64, 48, 64, 48]).all()
        assert person.landmarks.shape == (17, 3) and person.world is None and person.id >= 1
        assert person.dense.part.shape == (112, 112)
        inside = person.landmarks[:, :2]
        assert ((inside >= person.box[:2] - 1) & (inside <= person.box[2:] + 1)).all()
    assert len(list((folder / "a.iuv").glob("*.png"))) == 3
    with np.load(folder / "a.npz") as arrays:
        assert arrays["person_keypoints"].shape == (len(people), 17, 3)
    assert run(["convert", str(folder / "a.jsonl"), "-q", "-o", str(folder / "b.csv")]) == 0
    assert len((folder / "b.csv").read_text().splitlines()) == 1 + len(people)
    return people


@pytest.mark.parametrize(
    ("output", "words"), [("a.bvh", "--weights vnect=FILE"), ("a.glb", "--weights vnect=FILE")]
)
def test_an_output_that_no_checkpoint_gives(faked, tmp_path, output, words, capsys):
    assert command(faked, tmp_path / output) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert words in line
    assert not list(tmp_path.iterdir())


def test_masks_of_a_semantic_network_that_is_not_given(faked, capsys):
    words = [
        "run",
        TEST,
        "--chain",
        "rcnn",
        "--weights",
        faked,
        "--net-size",
        "96x64",
        "--proposals",
        "10",
    ]
    assert run([*words, "--segment", "deeplab-v3", "--device", "cpu", "-q"]) == 2
    assert "--weights deeplab-v3-r50=FILE" in capsys.readouterr().err


def test_a_checkpoint_that_is_none(tmp_path, capsys):
    path = tmp_path / "a.pth"
    path.write_bytes(b"nothing of the kind")
    assert run(["run", TEST, "--chain", "rcnn", "--weights", str(path), "-q"]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert str(path) in line
