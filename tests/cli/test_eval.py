"""`bodystream eval dense` and `dense-multiview`: what is printed, and what is told where it cannot be."""

import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from bodystream.cli import main, prepare
from bodystream.cli import rig as rig_videos
from bodystream.evaluation import coco
from bodystream.evaluation.dense import surface_sha256
from bodystream.pipeline import source
from tests.scene import SIZE, body, camera, result, seen, write_rig

CAMERAS = [camera("left", 0), camera("right", 40)]


@pytest.fixture
def rig(monkeypatch, tmp_path):
    """Two cameras and two videos, of three frames, in which a perfect net sees a body at rest."""
    write_rig(tmp_path / "rig.yml", CAMERAS)
    for by in CAMERAS:
        (tmp_path / f"{by.name}.mp4").touch()
    people = {f"{by.name}.mp4": seen(by, body()) for by in CAMERAS}

    def opened(path, max_frames):
        info = SimpleNamespace(width=SIZE[0], height=SIZE[1], length=3)
        return SimpleNamespace(info=info, close=lambda: None, path=path, frames=max_frames or 3)

    def results(video, _stages):
        return (result(i, people[video.path]) for i in range(video.frames))

    monkeypatch.setattr(source, "open_source", opened)
    monkeypatch.setattr(rig_videos, "_results", results)
    monkeypatch.setattr(prepare, "chain_of", lambda *_, **__: [])
    monkeypatch.chdir(tmp_path)
    return ["eval", "dense-multiview", "rig.yml", "left.mp4", "right.mp4"]


def test_rows_of_baseline_and_net_stand_side_by_side(rig, capsys):
    assert main.run(rig) == 0
    out, err = capsys.readouterr()
    lines = [line.split() for line in out.splitlines() if line]
    assert [line[:5] for line in lines[1:7]] == [
        ["left", "right", name, landmarks, "1"]  # frame 0 of three, stride 5
        for name in ("baseline", "dense-s")
        for landmarks in ("raw", "steady", "lifted")
    ]
    assert [line[2:] for line in lines[-6:]] == [["0.000"] * 3] * 6  # a still picture does not flicker
    assert "cameras turned to where landmarks meet: left 0.0" in err


def test_json_holds_what_the_table_shows_and_more(rig, capsys):
    assert (
        main.run([*rig, "--dense", "baseline", "--stride", "1", "--max-frames", "2", "--no-refine", "--json"])
        == 0
    )
    out, err = capsys.readouterr()
    assert "turned" not in err
    rows = json.loads(out)
    assert [(row["dense"], row["landmarks"], row["frames"]) for row in rows] == [
        ("baseline", "raw", 2),
        ("baseline", "steady", 2),
        ("baseline", "lifted", 2),
    ]
    (pair,) = rows[0]["pairs"]
    assert pair["cameras"] == ["left", "right"]
    assert pair["frames"] == 2
    assert pair["gap_mm"] < 4
    assert pair["third_px"] is None  # there is no third camera
    assert rows[0]["flicker"] == {"left": 0, "right": 0, "all": 0}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--dense", "dense-xl"], 2, "--dense dense-xl: expected baseline or dense-s"),
        (["more.mp4"], 2, "more.mp4: no such file"),
        (["left.mp4"], 1, "3 videos and 2 cameras"),
    ],
)
def test_what_cannot_be_scored_is_told(rig, capsys, words, code, message):
    assert main.run([*rig, *words]) == code
    assert message in capsys.readouterr().err


def test_points_are_scored_for_each_choice(monkeypatch, tmp_path, capsys):
    person = seen(CAMERAS[0], body())
    found = result(0, person)
    (iuv,) = found.surfaces
    row, column = np.argwhere(iuv.part)[500]
    uv = iuv.uv[:, row, column].tolist()
    point = [float(column + iuv.x) + 0.5, float(row + iuv.y) + 0.5, int(iuv.part[row, column]), *uv]
    people = [{"image": "a.png", "box": person.box.tolist(), "points": [point]}]
    (tmp_path / "points.json").write_text(json.dumps({"surface": surface_sha256(), "people": people}))
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((*SIZE[::-1], 3), np.uint8))
    monkeypatch.setattr(prepare, "chain_of", lambda *_, **__: [])
    monkeypatch.setattr(coco, "through", lambda _stages, _image: found)
    words = ["eval", "dense", str(tmp_path / "points.json"), str(tmp_path)]
    assert main.run(words) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[:7] for line in lines[1:]] == [
        [name, "1", "1", "1", "1", "1.0", "1.0"] for name in ("baseline", "dense-s")
    ]
    assert main.run([*words, "--dense", "baseline", "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert list(scores) == ["baseline"]
    assert scores["baseline"]["gps"] > 0.9999
    assert scores["baseline"]["gpsm"] is None


def test_points_on_another_surface_are_refused(tmp_path, capsys):
    (tmp_path / "points.json").write_text(json.dumps({"surface": "f" * 64, "people": []}))
    assert main.run(["eval", "dense", str(tmp_path / "points.json"), str(tmp_path)]) == 2
    assert "points on another surface" in capsys.readouterr().err
