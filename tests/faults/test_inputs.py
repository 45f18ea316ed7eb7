"""Inputs that cannot be read, and odd ones that can: one clear line and the right exit code."""

from pathlib import Path

import pytest

from bodystream.results import read
from tests.faults.conftest import Command
from tests.footage import cut_off, make_video

pytestmark = pytest.mark.weights


def test_missing_file(command: Command, tmp_path: Path) -> None:
    outcome = command("run", tmp_path / "none.mp4")
    assert outcome.code == 1
    assert "none.mp4 does not exist" in outcome.error


def test_text_named_mp4(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "notes.mp4"
    path.write_text("this is no video\n" * 100)
    outcome = command("run", path, "-o", tmp_path / "out.jsonl")
    assert outcome.code == 1
    assert "notes.mp4" in outcome.error
    assert not (tmp_path / "out.jsonl").exists()


def test_mp4_without_its_index(command: Command, tmp_path: Path) -> None:
    path = make_video(tmp_path / "clip.mp4", frames=20)
    path.write_bytes(path.read_bytes()[:-200])  # the index stands at the end
    outcome = command("run", path)
    assert outcome.code == 1
    assert "clip.mp4" in outcome.error


def test_video_without_frames(command: Command, tmp_path: Path) -> None:
    path = make_video(tmp_path / "empty.mp4", frames=0)
    outcome = command("run", path, "-o", tmp_path / "out.jsonl")
    if outcome.code == 0:
        assert list(read(tmp_path / "out.jsonl")) == []
    else:
        assert outcome.code == 1
        assert "empty.mp4" in outcome.error


def test_mp4_cut_off_behind_its_index_is_read_as_far_as_it_goes(command: Command, tmp_path: Path) -> None:
    whole = make_video(tmp_path / "whole.mp4", frames=300, muxer={"movflags": "faststart"})
    path = cut_off(whole, tmp_path / "clip.mp4", 0.8)
    outcome = command("run", path, "-o", tmp_path / "out.jsonl")
    assert outcome.code == 0
    results = read(tmp_path / "out.jsonl")
    assert 5 < len(list(results)) < 300
    assert results.end is not None and results.end.counts["frames missing"] > 0
    assert "frames missing" in outcome.err


@pytest.mark.parametrize(("size", "frames"), [("7680x4320", 2), ("639x359", 5), ("1x1", 5)])
def test_odd_sizes_simply_work(command: Command, tmp_path: Path, size: str, frames: int) -> None:
    outputs = ["-o", tmp_path / "out.jsonl", "-o", tmp_path / "out.mp4"]
    outcome = command("run", f"test:size={size},rate=25,frames={frames}", *outputs)
    assert outcome.code == 0, outcome.err
    assert len(list(read(tmp_path / "out.jsonl"))) == frames
    back = command("run", tmp_path / "out.mp4", "--json", "--quiet")
    assert back.code == 0
    width, height = (int(side) + int(side) % 2 for side in size.split("x"))
    assert f'"width": {width},' in back.out
    assert f'"height": {height},' in back.out
