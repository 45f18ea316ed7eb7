"""`bodystream export`, mostly on a toy network."""

import inspect
import json

import pytest

from bodystream.cli import main
from bodystream.cli.export import NETWORK_OF_STAGE
from bodystream.cli.run import run
from bodystream.export import prepare
from bodystream.export.prepare import NETWORKS, Network
from bodystream.models import store
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
