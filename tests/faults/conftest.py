"""The real command in a process of its own, under a watchdog."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

PATIENCE_S = 100  # below pytest's own limit, so that a hang is reported with what was printed


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line of the error: there must be exactly one, the last, and no traceback."""
        lines = self.err.strip().splitlines()
        errors = [line for line in lines if "error" in line.split(":")[0]]
        assert len(errors) == 1, self.err
        assert errors[0] == lines[-1], self.err
        assert "Traceback" not in self.err
        return errors[0]


Command = Callable[..., Outcome]


def start(*words: str | Path, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bodystream", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | (env or {}),
    )


@pytest.fixture
def command() -> Command:
    def run(*words: str | Path, env: dict[str, str] | None = None) -> Outcome:
        process = start(*words, env=env)
        try:
            out, err = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            pytest.fail(f"hung: {words}\n{out}\n{err}")
        return Outcome(process.returncode, out, err)

    return run
