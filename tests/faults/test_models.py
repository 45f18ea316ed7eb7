"""Weights, networks and devices that are not there or not right."""

import os
from pathlib import Path

import pytest

from bodystream.models import store
from tests.faults.conftest import Command

SHORT = "test:size=64x48,rate=25,frames=5"


@pytest.mark.parametrize(
    "settings",
    [
        {"BODYSTREAM_OFFLINE": "1"},
        # Nobody listens on port 9 (discard) of this host: a package index that cannot be reached.
        {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_EXTRA_INDEX_URL": "", "PIP_FIND_LINKS": ""},
    ],
    ids=["offline", "no network"],
)
def test_no_network_and_an_empty_cache(command: Command, tmp_path: Path, settings: dict[str, str]) -> None:
    settings = settings | {"PIP_CONFIG_FILE": "/dev/null", "BODYSTREAM_CACHE": str(tmp_path)}
    outcome = command("run", SHORT, "-o", tmp_path / "out.jsonl", env=settings)
    assert outcome.code == 1
    assert "bodystream models pull" in outcome.error
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.weights
def test_corrupt_weights(command: Command, tmp_path: Path) -> None:
    good = store.fetch("picodet-s-graph")
    bad = tmp_path / good.relative_to(store.cache_dir())
    bad.parent.mkdir(parents=True)
    content = bytearray(good.read_bytes())
    content[1000] ^= 1
    bad.write_bytes(content)
    outcome = command(
        "models", "path", "picodet-s-graph", "--offline", env={"BODYSTREAM_CACHE": str(tmp_path)}
    )
    assert outcome.code == 1
    assert str(bad) in outcome.error
    assert "sha256" in outcome.error
    assert bad.read_bytes() == content  # what the user has is not deleted behind their back


@pytest.mark.parametrize("fault", ["hostile", "another system"])  # more of them in tests/cli/test_models.py
def test_checkpoints_that_cannot_be_used(command: Command, tmp_path: Path, fault: str) -> None:
    import torch

    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str, ...]]:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    path = tmp_path / "model.pth"
    torch.save({"c1.weight": torch.zeros(6, 1, 5, 5), "extra": Hostile() if fault == "hostile" else 0}, path)
    outcome = command(
        "run", SHORT, "--chain", "rcnn", "--weights", f"rcnn-s={path}", "-o", tmp_path / "out.jsonl"
    )
    assert outcome.code == 1
    said = {"hostile": "is refused: it asks for", "another system": "does not fit rcnn-s: "}
    assert said[fault] in outcome.error
    assert str(path) in outcome.error
    assert not (tmp_path / "out.jsonl").exists()
    assert not (tmp_path / "ran").exists()


@pytest.mark.weights
def test_cuda_required_where_it_does_not_run(command: Command) -> None:
    outcome = command("run", SHORT, "--device", "cuda")
    if outcome.code == 0:
        pytest.skip("CUDA runs here")
    assert outcome.code == 5
    assert "CUDA" in outcome.error


@pytest.mark.weights
def test_a_warm_cache_needs_no_torch(tmp_path: Path) -> None:
    import subprocess
    import sys

    script = (
        "import sys\n"
        "from bodystream.cli.main import run\n"
        f"assert run(['run', {SHORT!r}, '-o', {str(tmp_path / 'out.jsonl')!r}]) == 0\n"
        "heavy = {'torch', 'onnx', 'onnxscript', 'unearth'} & set(sys.modules)\n"
        "sys.exit(f'imported: {sorted(heavy)}' if heavy else 0)\n"
    )
    warm = [sys.executable, "-m", "bodystream", "run", SHORT]
    subprocess.run(warm, check=True, timeout=110, capture_output=True)
    done = subprocess.run(
        [sys.executable, "-c", script], timeout=60, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
