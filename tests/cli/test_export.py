"""`bodystream export`, mostly on a toy network."""

import inspect
import json

import cv2
import numpy as np
import pytest

from bodystream.cli import main
from bodystream.cli.export import NETWORK_OF_STAGE
from bodystream.cli.run import run
from bodystream.export import prepare
from bodystream.export.check import Checked, Finding
from bodystream.export.prepare import NETWORKS, Network
from bodystream.export.systems import Made
from bodystream.models import store
from bodystream.models.rcnn import Shape
from bodystream.models.runtime import open_session
from tests.unit.test_export import TOLERANCES, toy


@pytest.fixture
def toys(monkeypatch, tmp_path):
    """Two networks, `picodet-s`, which agrees with torch, and `wrong`, which cannot."""
    networks = {
        "picodet-s": Network(("picodet-s",), lambda weights: toy(), batch=1),
        "wrong": Network(
            ("picodet-s",), lambda weights: toy(tolerances=TOLERANCES | {"colour": -1.0}), batch=None
        ),
    }
    monkeypatch.setattr(prepare, "NETWORKS", networks)
    monkeypatch.setattr(store, "fetch", lambda name, **_: tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_stage_is_the_network_that_run_takes():
    parameters = inspect.signature(run).parameters
    assert {
        "detect": parameters["detect"].default,
        "segment": f"blazepose-{parameters['segment'].default}",
        "dense": "dense-s",
    } == NETWORK_OF_STAGE
    assert set(NETWORK_OF_STAGE.values()) <= set(NETWORKS)


def test_the_check_is_told_and_the_file_is_there(toys, capsys):
    assert main.run(["export", "detect", "-o", "onnx"]) == 0
    head, *lines, last = capsys.readouterr().out.splitlines()
    assert head.split() == ["network", "check", "of", "result"]
    assert [line.split()[:2] for line in lines] == [
        ["picodet-s", step] for step in ("graph", "names", "shapes", "values", "shapes", "values")
    ]
    assert all("✓" in line for line in lines)
    assert "differ by" in lines[3]
    assert last == "wrote onnx/picodet-s.onnx"
    assert open_session(toys / "onnx" / "picodet-s.onnx", device="cpu").input[0] == 1


def test_the_batch_is_frozen_and_the_report_can_be_json(toys, capsys):
    assert main.run(["export", "picodet-s", "detect", "--batch", "3", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["network"], row["file"]) == ("picodet-s", "onnx/picodet-s.onnx")
    assert {check["ok"] for check in row["checks"]} == {True}
    assert open_session(toys / "onnx" / "picodet-s.onnx", device="cpu").input[0] == 3


def test_a_failing_check_leaves_no_file(toys, capsys):
    assert main.run(["export", "wrong"]) == 1
    err = capsys.readouterr().err.splitlines()
    assert err[-1].startswith("error: ")
    assert "✗ values: colour at batch 1" in err[-1]
    assert list((toys / "onnx").iterdir()) == []


def test_what_exists_is_replaced_only_when_asked(toys, capsys):
    (toys / "onnx").mkdir()
    (toys / "onnx" / "picodet-s.onnx").write_text("mine")
    assert main.run(["export", "--all"]) == 1
    assert capsys.readouterr().err.startswith("error: onnx/picodet-s.onnx: exists already; add --overwrite")
    assert (toys / "onnx" / "picodet-s.onnx").read_text() == "mine"
    assert main.run(["export", "detect", "--overwrite"]) == 0
    assert open_session(toys / "onnx" / "picodet-s.onnx", device="cpu").name == "picodet-s"


@pytest.mark.parametrize(
    ("args", "word"),
    [
        ([], "or else give --all"),
        (["detect", "--all"], "or else give --all"),
        (["denser"], "no stage or network called 'denser'; known: detect, segment, dense, picodet-s"),
        (["detect", "--batch", "0"], "--batch"),
    ],
)
def test_wrong_words_are_usage_errors(toys, capsys, args, word):
    assert main.run(["export", *args]) == 2
    assert word in capsys.readouterr().err


@pytest.mark.weights
def test_a_real_network(tmp_path, capsys):
    assert main.run(["export", "blazepose-lite", "-o", str(tmp_path)]) == 0
    assert "wrote" in capsys.readouterr().out
    assert open_session(tmp_path / "blazepose-lite.onnx", device="cpu").stage == "segment"


def test_the_network_that_is_shipped(tmp_path, capsys):
    assert main.run(["export", "dense", "-o", str(tmp_path)]) == 0
    assert "dense-s" in capsys.readouterr().out
    session = open_session(tmp_path / "dense-s.onnx", device="cpu")
    assert (session.stage, session.outputs) == ("dense", ("part", "uv", "confidence"))


# -- systems of the R-CNN family


@pytest.fixture
def requests(monkeypatch, tmp_path):
    """What would be made of which weights, instead of making it."""
    asked = []

    def export_system(spec, shape, folder, **wishes):
        asked.append((str(spec), shape, wishes))
        checked = Checked((), 61, 0, {"masks": 2e-6}, 1.25, 2.5)
        return Made("some", {"mask": folder / "some.mask.onnx"}, {"mask": checked}, [WHOLE])

    monkeypatch.setattr(prepare, "export_system", export_system)
    monkeypatch.chdir(tmp_path)
    return asked


WHOLE = Finding("whole", "1 of 640x480 px", True, "1 of 1 are torch's")


def test_a_system_is_exported_by_its_weights(requests, capsys):
    assert main.run(["export", "rcnn", "--weights", "random:0", "-o", "out"]) == 0
    ((weights, shape, wishes),) = requests
    assert weights == "mask-rcnn-r50-fpn=random:0"
    assert shape == Shape(480, 640, 100, 5)
    assert (wishes["precision"], wishes["opset"], wishes["images"], wishes["overwrite"]) == (
        "fp32",
        None,
        [],
        False,
    )
    head, row, *rest = capsys.readouterr().out.splitlines()
    assert head.split("  ")[0] == "file"
    assert row.split() == ["some.mask", "61", "0", "masks", "2e-06", "1.2", "2.5"]
    assert rest == [
        "✓ whole: 1 of 640x480 px: 1 of 1 are torch's",
        "times: one thread each, in this run",
        "wrote out/some.mask.onnx",
    ]


@pytest.mark.parametrize(
    ("words", "weights"),
    [
        (["rcnn", "--weights", "rcnn-s=random:1"], ["rcnn-s=random:1"]),
        (["rcnn", "--weights", "model.pth"], ["model.pth"]),
        (["vnect", "--weights", "random:2"], ["vnect=random:2"]),
        (["fcn-r50", "--weights", "fcn-r50=a.pth"], ["fcn-r50=a.pth"]),
        (["keypoint-rcnn-r50-fpn", "--weights", "a.pth"], ["keypoint-rcnn-r50-fpn=a.pth"]),
        (
            ["rcnn", "vnect", "--weights", "random:0", "--weights", "vnect=b.caffemodel"],
            ["mask-rcnn-r50-fpn=random:0", "vnect=b.caffemodel"],
        ),
    ],
)
def test_whose_weights_are_which(requests, words, weights):
    assert main.run(["export", *words]) == 0
    assert [spec for spec, *_ in requests] == weights


def test_sizes_and_wishes_reach_the_export(requests, capsys):
    words = (
        "export rcnn --weights rcnn-s=random:0 --proposals 7 --people 3 --precision fp16 --opset 19 --json"
    )
    assert main.run([*words.split(), "--overwrite", "--offline"]) == 0
    ((_, shape, wishes),) = requests
    assert shape == Shape(256, 320, 7, 3)
    assert {"precision": "fp16", "opset": 19, "overwrite": True, "offline": True}.items() <= wishes.items()
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["network"], row["nodes"], row["forbidden"]) == ("some.mask", 61, 0)
    assert row["whole"] == ["✓ whole: 1 of 640x480 px: 1 of 1 are torch's"]


def test_frames_are_taken_from_all_over_what_int8_is_fitted_to(requests, tmp_path):
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((48, 64, 3), number, np.uint8))
    words = "export rcnn --weights random:0 --precision int8 --calibrate test:size=64x48,frames=40 --calibrate 2.png"
    assert main.run(words.split()) == 0
    images = requests[0][2]["images"]
    assert len(images) == 9
    assert (images[-1] == 2).all()


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (
            ["rcnn"],
            "export rcnn takes weights of your own; add --weights mask-rcnn-r50-fpn=FILE, or random:0 to try",
        ),
        (["vnect"], "export vnect takes weights of your own; add --weights vnect=FILE"),
        (["vnect", "--weights", "rcnn-s=random:0"], "vnect takes weights of your own"),
        (["rcnn", "--weights", "vnect=a.caffemodel"], "export rcnn takes weights of your own"),
        (
            ["rcnn", "--weights", "random:0", "--weights", "vnect=a"],
            "--weights vnect=a is for vnect, and rcnn is to",
        ),
        (["detect", "--weights", "random:0"], "detect takes no --weights; export it by itself"),
        (["rcnn", "--weights", "rcnnn=random:0"], "no system called 'rcnnn'"),
        (["rcnn", "--weights", "random:0", "--size", "640"], "--size 640 is not a size"),
        (
            ["rcnn", "--weights", "random:0", "--size", "640x470"],
            "a network size of 640x470: expected multiples",
        ),
        (["detect", "--precision", "fp16"], "--precision is for a system with --weights"),
        (["detect", "--opset", "19"], "--opset is for a system with --weights"),
    ],
)
def test_wrong_words_about_systems(requests, capsys, args, word):
    assert main.run(["export", *args]) == 2
    err = capsys.readouterr().err
    assert word in err
    assert len(err.splitlines()) <= 2
    assert not requests
