"""Runs that are ended from outside, and what is left of them."""

import signal
import subprocess
from pathlib import Path

import pytest

from bodystream.results import read
from tests.faults.conftest import Command, start

pytestmark = pytest.mark.weights
ENDLESS = "test:size=320x180,rate=25,frames=1000000"


def begun(outputs: list[str | Path], results: Path, *flags: str) -> "subprocess.Popen[str]":
    """Start an endless run and come back when it has written some frames."""
    process = start("run", ENDLESS, *outputs, *flags)
    while process.poll() is None:
        if results.exists() and results.read_bytes().count(b'"type":"frame"') >= 20:
            return process
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
    pytest.fail(f"ended by itself: {process.communicate()}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_finishes_its_files(
    tmp_path: Path, command: Command, number: signal.Signals
) -> None:
    results, video = tmp_path / "out.jsonl", tmp_path / "out.mp4"
    process = begun(["-o", results, "-o", video], results)
    process.send_signal(number)
    _out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    recording = read(results)
    frames = len(list(recording))
    assert recording.end is not None and recording.end.frames == frames >= 20
    back = command("run", video, "-o", tmp_path / "back.jsonl")
    assert back.code == 0
    assert len(list(read(tmp_path / "back.jsonl"))) == frames


def test_a_killed_run_leaves_every_frame_it_had_written(tmp_path: Path) -> None:
    results = tmp_path / "out.jsonl"
    process = begun(["-o", results], results)
    process.kill()
    process.communicate(timeout=60)
    recording = read(results)
    indices = [result.index for result in recording]
    assert indices == list(range(len(indices))) and len(indices) >= 20
    assert recording.end is None
