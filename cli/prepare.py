"""Networks made ready before a command runs them: fetched, exported and checked once."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # these bring numpy, and --help must answer at once
    from bodystream.pipeline.lens import Lens
    from bodystream.pipeline.stages import Choices, Placement
    from bodystream.pipeline.types import Stage


def prepared(names: Sequence[str], *, offline: bool) -> list[Path]:
    """Return the ONNX files of the networks called `names`; with a warm cache this imports no torch."""
    from bodystream.cli.screen import progress_bars
    from bodystream.export.prepare import prepare

    with progress_bars() as progress:
        return [prepare(name, progress=progress, offline=offline or None) for name in names]


def fetched(places: Sequence[str], *, offline: bool) -> list[Path]:
    """Return files by path, or by a name of the zoo, fetched where they are not here."""
    from bodystream.cli.screen import progress_bars, say
    from bodystream.models.store import resolve

    with progress_bars() as progress:
        return [resolve(place, offline=offline or None, progress=progress, tell=say) for place in places]


def chain_of(
    choices: "Choices", placement: "Placement", lens: "Lens | None" = None, *, offline: bool
) -> "list[Stage]":
    """The chain with the networks that were chosen, for a camera with this lens (None: a guess).

    Raises what preparing and opening the networks raises.
    """
    from bodystream.pipeline.lens import GUESS
    from bodystream.pipeline.stages import open_stages

    paths = prepared(choices.networks, offline=offline)
    return open_stages(dict(zip(choices.networks, paths, strict=True)), choices, placement, lens or GUESS)
