"""The linter and the strict type checker have nothing to say."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.links import ROOT, link_package


@pytest.mark.parametrize("words", [["check"], ["format", "--check"]])
def test_ruff(words: list[str]) -> None:
    run("ruff", *words, ".", cwd=ROOT)


@pytest.mark.timeout(600)  # the first time mypy reads torch and numpy too; afterwards from .mypy_cache
def test_mypy() -> None:
    folder = link_package(ROOT / "build" / "links")
    run("mypy", "-p", "bodystream", "--config-file", str(ROOT / "pyproject.toml"), cwd=folder)


def run(tool: str, *words: str, cwd: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", tool, *words], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
