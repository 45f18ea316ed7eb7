"""Networks made ready before a command runs them: fetched, exported and checked once."""

from collections.abc import Sequence
from pathlib import Path


def prepared(names: Sequence[str], *, offline: bool) -> list[Path]:
    """Return the ONNX files of the networks called `names`; with a warm cache this imports no torch."""
    from bodystream.cli.screen import progress_bars
    from bodystream.export.prepare import prepare

    with progress_bars() as progress:
        return [prepare(name, progress=progress, offline=offline or None) for name in names]
