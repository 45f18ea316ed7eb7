"""`bodystream export` of the R-CNN family: a system's pieces out of the user's weights."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from bodystream.cli.options import size_of
from bodystream.errors import UsageError
from bodystream.models.systems import DEFAULT, NAMES, WeightsSpec, kind_of, parse

if TYPE_CHECKING:  # these bring numpy and torch
    from bodystream.export.systems import Made
    from bodystream.models.rcnn import Shape

RCNN = "rcnn"  # any system with a trunk, whichever the weights are for
SIZE = "640x480"  # of VGA cameras; wider pictures fill three quarters of it. A GPU has room for 1344x800, the papers'
SMALL_SIZE = {"rcnn-s": "320x256"}  # it was trained on pictures of this size
CALIBRATION_FRAMES = 16  # of all files together


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user says of systems: see `bodystream export --help`."""

    weights: Sequence[str]
    size: str | None
    proposals: int
    people: int
    precision: str
    calibrate: Sequence[str]
    opset: int | None
    batch: int | None


def systems_among(names: Sequence[str]) -> list[str]:
    """Those of the names that are systems, or stand for them."""
    return [name for name in names if name == RCNN or name in NAMES]


def weights_of(systems: Sequence[str], texts: Sequence[str]) -> list[WeightsSpec]:
    """Whose weights are which: SYSTEM= may be left out where one system is asked for.

    Raises UsageError for a system without weights, and for weights of a system that is not asked for.
    """
    only = systems[0] if len(systems) == 1 and systems[0] != RCNN else None
    specs = []
    for text in texts:
        spec = parse(text)
        named = text.partition("=")[0] == spec.system
        specs.append(spec if only is None or named else parse(f"{only}={text}"))
    for system in systems:
        if not any(_meant(system, spec) for spec in specs):
            example = f"{DEFAULT if system == RCNN else system}=FILE"
            raise UsageError(
                f"export {system} takes weights of your own; add --weights {example}, or random:0 to try"
            )
    for spec in specs:
        if not any(_meant(system, spec) for system in systems):
            asked = ", ".join(systems) or "no system"
            raise UsageError(
                f"--weights {spec} is for {spec.system or RCNN}, and {asked} is to be exported; name both"
            )
    return specs


def _meant(system: str, spec: WeightsSpec) -> bool:
    if system != RCNN:
        return spec.system == system
    return spec.system is None or kind_of(spec.system) in ("rcnn", "densepose")


def export_systems(
    systems: Sequence[str], wishes: Wishes, folder: Path, *, overwrite: bool, offline: bool
) -> "list[Made]":
    """Make the files of all systems in `folder`. Raises what `export.prepare.export_system` raises."""
    from bodystream.cli.screen import progress_bars, say
    from bodystream.export.prepare import export_system

    specs = weights_of(systems, wishes.weights)
    images = frames_of(wishes.calibrate)
    with progress_bars() as progress:
        return [
            export_system(
                spec,
                _shape(spec, wishes),
                folder,
                precision=wishes.precision,
                opset=wishes.opset,
                batch=wishes.batch,
                images=images,
                overwrite=overwrite,
                progress=progress,
                tell=say,
                offline=offline or None,
            )
            for spec in specs
        ]


def frames_of(files: Sequence[str]) -> "list[Any]":
    """Frames uint8 (H, W, 3) BGR spread over videos and pictures. Raises what opening them raises."""
    from bodystream.pipeline.source import open_source

    each = -(-CALIBRATION_FRAMES // max(1, len(files)))
    frames = []
    for file in files:
        with closing(open_source(file)) as feed:
            length = feed.info.length or each
        with closing(open_source(file, stride=max(1, length // each), max_frames=each)) as feed:
            frames += [frame.image for frame in feed]
    return frames


def _shape(spec: WeightsSpec, wishes: Wishes) -> "Shape":
    from bodystream.models.rcnn import Shape

    size = size_of("--size", wishes.size or SMALL_SIZE.get(spec.system or "", SIZE))
    assert size is not None  # told to the type checker
    width, height = size
    return Shape(height, width, wishes.proposals, wishes.people)


def print_made(made: "Sequence[Made]") -> None:
    """A table of what was checked: each piece's outputs, then all pieces in a row."""
    from bodystream.cli.screen import print_table

    heads = ["file", "nodes", "forbidden", "output", "differs by", "CPU ms", "torch's"]
    rows = []
    for system in made:
        for piece, checked in system.checked.items():
            first = [system.files[piece].stem, str(checked.nodes), str(checked.forbidden)]
            times = [f"{checked.session_ms:.1f}", f"{checked.torch_ms:.1f}"]
            for number, (output, off) in enumerate(checked.differences.items()):
                rows.append(
                    [
                        *(first if number == 0 else [""] * 3),
                        output,
                        f"{off:.2g}",
                        *(times if number == 0 else [""] * 2),
                    ]
                )
    print_table(heads, rows)
    for system in made:
        for finding in system.whole:
            typer.echo(str(finding))
    typer.echo("times: one thread each, in this run")
    for system in made:
        for file in system.files.values():
            typer.echo(f"wrote {file}")


def rows_of(made: "Sequence[Made]") -> list[dict[str, Any]]:
    """The same for JSON."""
    return [
        {
            "network": file.stem,
            "file": str(file),
            "nodes": system.checked[piece].nodes,
            "forbidden": system.checked[piece].forbidden,
            "differences": dict(system.checked[piece].differences),
            "session_ms": round(system.checked[piece].session_ms, 3),
            "torch_ms": round(system.checked[piece].torch_ms, 3),
            "whole": [str(finding) for finding in system.whole],
        }
        for system in made
        for piece, file in system.files.items()
    ]
