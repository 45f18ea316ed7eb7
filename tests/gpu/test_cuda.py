"""Every ONNX file on a GPU: it runs there, agrees with the CPU, and how long it takes.

On a machine with a GPU and these files, which need not have torch or a package index:

    bodystream export --all -o onnx/        (elsewhere, beforehand)
    PYTHONPATH=$(python tests/links.py):. python -m pytest -m gpu tests/gpu --onnx onnx/ -s

`--on cpu` tries the tests themselves on a machine without one.
"""

import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bodystream.models.runtime import CPU, CUDA, Session, open_session

pytestmark = pytest.mark.gpu

PEOPLE = 2  # in files with a free batch
ROUNDS = 20
# CUDA sums in another order, and convolutions hold a thousand terms and more: relative to an output's largest value.
NEAR = 2e-3
# Rounding tips some answers over: levels of 255, the part of a pixel on a border, and U, V with it.
SAME = 0.99


def test_it_runs_on_the_gpu_and_says_so(onnx_file: Path, device: str) -> None:
    assert open_session(onnx_file, device=device).provider == (CPU if device == "cpu" else CUDA)


def test_it_agrees_with_the_cpu(onnx_file: Path, device: str) -> None:
    here, there = open_session(onnx_file, device="cpu"), open_session(onnx_file, device=device)
    feeds = noise(here)
    for name, value in here.run(feeds).items():
        wanted, found = value.numpy(), there.run(feeds)[name].numpy()
        assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
        near = 0.0 if wanted.dtype.kind in "ui" else NEAR * max(1.0, float(np.abs(wanted).max()))
        assert (np.abs(found.astype(np.float64) - wanted) <= near).mean() >= SAME, name


def test_how_long_it_takes(onnx_file: Path, device: str) -> None:
    session = open_session(onnx_file, device=device)
    feeds = noise(session)
    session.run(feeds)
    took = []
    for _ in range(ROUNDS):
        before = time.perf_counter()
        {name: value.numpy() for name, value in session.run(feeds).items()}
        took.append(1000 * (time.perf_counter() - before))
    median = statistics.median(took)
    sys.stdout.write(f"\n{session.name}: {median:.2f} ms, {session.provider}, {session.precision}\n")
    assert min(took) > 0


def noise(session: Session) -> dict[str, NDArray[Any]]:
    """Inputs of the shapes that the file declares: pictures and features of noise, boxes within the picture."""
    rng = np.random.default_rng(0)
    feeds: dict[str, NDArray[Any]] = {}
    for name, declared in session.inputs.items():
        shape = tuple(PEOPLE if isinstance(axis, str) else axis for axis in declared.shape)
        if name == "boxes":
            corners = rng.uniform(0, 128, (*shape[:-1], 2))
            feeds[name] = np.concatenate([corners, corners + rng.uniform(8, 128, corners.shape)], axis=-1)
        elif name == "size":
            feeds[name] = np.array([256, 256])
        elif declared.dtype.kind == "u":
            feeds[name] = rng.integers(0, 256, shape)
        else:
            feeds[name] = rng.uniform(0, 1, shape)
        feeds[name] = feeds[name].astype(declared.dtype)
    return feeds
