"""Outputs that cannot be written: one clear line, the right exit code, and nothing that was written is lost."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from bodystream.results import read
from tests.faults.conftest import Command
from tests.footage import make_video

pytestmark = pytest.mark.weights
SHORT = "test:size=64x48,rate=25,frames=10"


def test_unknown_suffix(command: Command, tmp_path: Path) -> None:
    outcome = command("run", SHORT, "-o", tmp_path / "out.xyz")
    assert outcome.code == 2
    assert ".jsonl" in outcome.error


def test_existing_output(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("precious")
    outcome = command("run", SHORT, "-o", path)
    assert outcome.code == 1
    assert "--overwrite" in outcome.error
    assert path.read_text() == "precious"
    assert command("run", SHORT, "-o", path, "--overwrite").code == 0
    assert len(list(read(path))) == 10


def test_output_equal_to_the_input_also_through_a_link(command: Command, tmp_path: Path) -> None:
    clip = make_video(tmp_path / "clip.mp4", frames=5)
    before = clip.read_bytes()
    (tmp_path / "link.mp4").symlink_to(clip)
    for output in ("clip.mp4", "link.mp4"):
        outcome = command("run", clip, "-o", tmp_path / output, "--overwrite")
        assert outcome.code == 1
        assert output in outcome.error
        assert clip.read_bytes() == before


def test_folder_that_is_not_there(command: Command, tmp_path: Path) -> None:
    outcome = command("run", SHORT, "-o", tmp_path / "none" / "out.jsonl")
    assert outcome.code == 1
    assert "out.jsonl" in outcome.error


def test_pictures_of_the_body_surface(command: Command, tmp_path: Path) -> None:
    outputs = ("-o", tmp_path / "a.jsonl", "-o", tmp_path / "out.iuv")
    outcome = command("run", SHORT, *outputs, "--dense", "off")
    assert outcome.code == 2
    assert "--dense off" in outcome.error
    assert not list(tmp_path.iterdir()), "nothing is begun"

    words = ("run", SHORT, "-o", f"{tmp_path}/out.iuv/", "--dense", "baseline")
    assert command(*words, "-o", tmp_path / "a.jsonl").code == 0
    extra = read(tmp_path / "a.jsonl").header.extra
    assert len(extra["parts"]) == 24 and len(extra["surface"]["sha256"]) == 64
    assert len(list((tmp_path / "out.iuv").glob("*.png"))) == 10
    assert command(*words).code == 1, "it exists"
    onto_itself = command("run", tmp_path / "out.iuv", *words[2:], "--overwrite")
    assert onto_itself.code == 1
    assert "never written over" in onto_itself.error
    assert len(list((tmp_path / "out.iuv").glob("*.png"))) == 10


@pytest.mark.parametrize("name", ["walk.bvh", "walk.GLB", "walk.trc", "walk.c3d"])
def test_motion_without_poses(command: Command, tmp_path: Path, name: str) -> None:
    outcome = command("run", SHORT, "-o", tmp_path / "a.jsonl", "-o", tmp_path / name, "--pose3d", "off")
    assert outcome.code == 2
    assert name in outcome.error and "--pose3d off" in outcome.error
    assert not list(tmp_path.iterdir()), "nothing is begun"


def test_the_viewer_without_a_display(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    outcome = command("run", SHORT, "-o", tmp_path / "a.jsonl", "--view")
    assert outcome.code == 1
    assert "viewer" in outcome.error, "the extra, or the display, whichever is lacking"
    assert not list(tmp_path.iterdir())


def test_motion(command: Command, tmp_path: Path) -> None:
    """The pattern's figure is taken for a person in some frames."""
    outcome = command(
        "run", SHORT, "-o", tmp_path / "a.bvh", "-o", tmp_path / "a.glb", "-o", tmp_path / "a.c3d"
    )
    assert outcome.code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"a.glb", "a.1.bvh", "a.1.c3d"}


def test_a_texture_that_is_none(command: Command, tmp_path: Path) -> None:
    outcome = command("run", SHORT, "-o", tmp_path / "a.mp4", "--texture", tmp_path / "none.png")
    assert outcome.code == 1
    assert "none.png" in outcome.error
    assert not (tmp_path / "a.mp4").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_that_may_not_be_written(command: Command, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    outcome = command("run", SHORT, "-o", tmp_path / "out.jsonl")
    assert outcome.code == 1
    assert "out.jsonl" in outcome.error


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "mp4", "trace.json"])
def test_full_disk(tmp_path: Path, suffix: str) -> None:
    """A limit on the size of files stands for the disk: the system's answer is another errno of the same kind."""
    path = tmp_path / f"out.{suffix}"
    limit = 6_000

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    words = [
        sys.executable,
        "-m",
        "bodystream",
        "run",
        "test:size=640x360,rate=25,frames=300",
        "-o",
        str(path),
    ]
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=100, check=False, preexec_fn=small_files
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert f"error: cannot write {path}" in done.stderr.strip().splitlines()[-1]
    if suffix == "jsonl":
        results = read(path)
        assert len(list(results)) > 1
        assert path.stat().st_size <= limit
