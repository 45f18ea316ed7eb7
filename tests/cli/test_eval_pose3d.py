"""`bodystream eval pose3d` and `pose3d-multiview`: what is printed, and what is told where it cannot be."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from bodystream.cli import main, prepare
from bodystream.cli import rig as rig_videos
from bodystream.models.keypoints import KEYPOINTS
from bodystream.pipeline import source
from bodystream.pipeline.record import encode_header, encode_result
from tests.recordings import header
from tests.scene import SIZE, body, write_rig
from tests.walk import CAMERAS, RATE, results, walk

FRAMES = 50


@pytest.fixture
def rig(monkeypatch, tmp_path):
    """Four cameras and their videos, in which perfect nets see one person walk; a row's choices are kept."""
    write_rig(tmp_path / "rig.yml", CAMERAS)
    for by in CAMERAS:
        (tmp_path / f"{by.name}.mp4").touch()
    asked = []

    def opened(path, max_frames):
        info = SimpleNamespace(width=SIZE[0], height=SIZE[1], length=FRAMES)
        return SimpleNamespace(info=info, close=lambda: None, path=path, frames=max_frames or FRAMES)

    def seen(video, _stages):
        (by,) = (camera for camera in CAMERAS if camera.name in video.path)
        return iter(results(by, walk(FRAMES))[: video.frames])

    def chain_of(choices, placement, lens, *, offline):
        asked.append((choices, lens.of(SIZE).name))
        return []

    monkeypatch.setattr(source, "open_source", opened)
    monkeypatch.setattr(rig_videos, "_results", seen)
    monkeypatch.setattr(prepare, "chain_of", chain_of)
    monkeypatch.chdir(tmp_path)
    words = ["eval", "pose3d-multiview", "rig.yml", *(f"{by.name}.mp4" for by in CAMERAS)]
    return SimpleNamespace(words=words, asked=asked)


def test_every_row_has_every_camera_and_a_mean(rig, capsys):
    assert main.run([*rig.words, "--rows", "raw", "--rows", "track", "--segment", "full"]) == 0
    out, _ = capsys.readouterr()
    lines = [line.split() for line in out.splitlines() if line]
    assert [line[:3] for line in lines if line[0] == "full" and "[" not in "".join(line)] == [
        ["full", row, camera]
        for row in ("raw", "track")
        for camera in ("cam1", "cam2", "cam3", "cam4", "mean")
    ]
    assert "50 of 50" in out
    assert "its own error" in out
    assert "less raw" in out
    # The reference's chain, then the rows', each with the lens of its camera.
    assert [name for _, name in rig.asked] == 3 * [by.name for by in CAMERAS]
    assert [choices.segment for choices, _ in rig.asked] == 4 * ["heavy"] + 8 * ["full"]
    assert [choices.repair_flips for choices, _ in rig.asked] == 4 * [True] + 4 * [False] + 4 * [True]


def test_json_holds_what_the_tables_show(rig, capsys):
    assert main.run([*rig.words, "--rows", "raw", "--max-frames", "40", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["reference"]["cameras"] == [by.name for by in CAMERAS]
    assert max(report["reference"]["left_out_mm"]) < 1
    (row,) = report["rows"]
    assert (row["segment"], row["row"], len(row["views"])) == ("full", "raw", 4)
    assert row["mean"]["pa_mm"] < 1
    assert row["mean"]["root_cm"] < 0.3
    assert row["views"][2]["behind_raw_ms"] == pytest.approx(0, abs=0.5)
    assert row["views"][2] | {"camera": "cam3", "person": 1, "found": 40, "changes": 0} == row["views"][2]


def test_keypoints_help_to_make_the_reference(rig, tmp_path, capsys):
    order = [KEYPOINTS.index(name) for name in ("left_shoulder", "right_shoulder")]
    for by in CAMERAS:
        (tmp_path / "seen" / by.name).mkdir(parents=True)
        for result in results(by, walk(FRAMES)):
            flat = np.zeros((25, 3))
            flat[[5, 6]] = result.people[0].landmarks[order]
            people = [{"pose_keypoints_2d": flat.ravel().tolist()}]
            file = tmp_path / "seen" / by.name / f"{by.name}.{result.index:04d}.json"
            file.write_text(json.dumps({"people": people}))
    assert main.run([*rig.words, "--rows", "raw", "--keypoints", "seen", "--json"]) == 0
    out, err = capsys.readouterr()
    assert "the keypoints were moved by" in err
    assert max(json.loads(out)["reference"]["reprojection_px"]) < 1


def test_the_height_is_that_of_the_reference_s_bones(rig, capsys):
    assert main.run([*rig.words, "--rows", "fit", "--rows", "fit-height", "--max-frames", "40"]) == 0
    capsys.readouterr()
    heights = [choices.height_m for choices, _ in rig.asked]
    assert heights[:8] == 8 * [None]
    size = np.ptp(body()[:, 1])
    assert heights[8:] == pytest.approx(
        4 * [size], rel=0.03
    )  # swinging limbs are a little longer in this walk
    assert {choices.pose3d for choices, _ in rig.asked[4:]} == {"fit"}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--rows", "best"], 2, "--rows best: expected"),
        (["--segment", "huge"], 2, "--segment huge: expected lite, full or heavy"),
        (["more.mp4"], 2, "more.mp4: no such file"),
        (["--keypoints", "nothing"], 2, "nothing: no such file"),
        (["--max-frames", "1"], 1, "no two frames in common"),
    ],
)
def test_what_cannot_be_scored_is_told(rig, capsys, words, code, message):
    assert main.run([*rig.words, *words]) == code
    assert message in capsys.readouterr().err


@pytest.fixture
def files(tmp_path):
    """A reference in the world's axes, and results of a camera that looks at it."""
    truth = walk(FRAMES)
    np.savez(
        tmp_path / "walk.npz",
        names=KEYPOINTS,
        times=np.arange(FRAMES) / RATE,
        joints=truth,
    )
    lines = [encode_header(header()), *map(encode_result, results(CAMERAS[1], truth))]
    (tmp_path / "walk.jsonl").write_bytes(b"".join(lines))
    return [str(tmp_path / "walk.npz"), str(tmp_path / "walk.jsonl")]


def test_results_are_scored_in_the_reference_s_axes(files, capsys):
    assert main.run(["eval", "pose3d", *files, "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["id"] == 1
    assert found["frames"] == FRAMES
    assert found["mpjpe_mm"] < 1
    assert found["root_cm"] is None  # world landmarks are nowhere
    assert "turned and shifted as a whole" in err
    assert main.run(["eval", "pose3d", *files, "--align", "off", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["mpjpe_mm"] > 100
    assert "turned" not in err
    assert main.run(["eval", "pose3d", *files, "--offset-s", "0.1"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1][0] == "1"
    assert int(lines[1][1]) == FRAMES - 6


def test_whom_the_results_do_not_have_is_told(files, tmp_path, capsys):
    assert main.run(["eval", "pose3d", *files, "--id", "9"]) == 1
    assert "has no person 9; it has 1" in capsys.readouterr().err
    assert main.run(["eval", "pose3d", str(tmp_path / "none.trc"), files[1]]) == 1
    assert "no reference at" in capsys.readouterr().err
