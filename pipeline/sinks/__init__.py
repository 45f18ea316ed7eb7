"""Where results go: `open_sinks` chooses the writer by the suffix, as ffmpeg and pandoc do."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bodystream.errors import OutputExists, OutputFailed, UnknownSuffix, UsageError
from bodystream.pipeline.clip import Motion
from bodystream.pipeline.draw import ALL, Layers, draw
from bodystream.pipeline.sinks.bvh import write_bvh
from bodystream.pipeline.sinks.c3d import write_c3d
from bodystream.pipeline.sinks.coco import CocoSink
from bodystream.pipeline.sinks.csv import CsvSink
from bodystream.pipeline.sinks.iuv import IuvSink
from bodystream.pipeline.sinks.jsonl import JsonlSink
from bodystream.pipeline.sinks.npz import NpzSink
from bodystream.pipeline.sinks.overlay import OverlaySink
from bodystream.pipeline.sinks.parquet import ParquetSink
from bodystream.pipeline.sinks.poses import Everybody, OnePerson, PoseSink, numbered
from bodystream.pipeline.sinks.rerun import RerunSink
from bodystream.pipeline.sinks.trace import TraceSink
from bodystream.pipeline.sinks.trc import write_trc
from bodystream.pipeline.types import Image, Result, Sink

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the writers are told beside their paths: how to draw, whom to tell, whether bodies are wanted."""

    draw: Callable[[Image, Result], Image]
    tell: Tell
    mesh: bool = False


def _write_glb(path: Path, people: Iterable[Motion], *, mesh: bool) -> None:
    from bodystream.pipeline.sinks.glb import write_glb  # its library takes a tenth of a second to load

    write_glb(path, people, mesh=mesh)


# A new format is one line here. Where two suffixes fit, the longer one wins.
WRITERS: dict[str, Callable[[Path, Wishes], Sink]] = {
    ".bvh": lambda path, wishes: PoseSink(path, OnePerson(write_bvh), tell=wishes.tell),
    ".c3d": lambda path, wishes: PoseSink(path, OnePerson(write_c3d, package="ezc3d"), tell=wishes.tell),
    ".coco.json": lambda path, _wishes: CocoSink(path),
    ".csv": lambda path, _wishes: CsvSink(path),
    ".glb": lambda path, wishes: PoseSink(
        path, Everybody(partial(_write_glb, mesh=wishes.mesh)), tell=wishes.tell
    ),
    ".iuv": lambda path, _wishes: IuvSink(path),
    ".jsonl": lambda path, _wishes: JsonlSink(path),
    ".mkv": lambda path, wishes: OverlaySink(path, wishes.draw, tell=wishes.tell),
    ".mp4": lambda path, wishes: OverlaySink(path, wishes.draw, tell=wishes.tell),
    ".npz": lambda path, _wishes: NpzSink(path),
    ".parquet": lambda path, _wishes: ParquetSink(path),
    ".rrd": lambda path, wishes: RerunSink(path, mesh=wishes.mesh),
    ".trace.json": lambda path, _wishes: TraceSink(path),
    ".trc": lambda path, wishes: PoseSink(path, OnePerson(write_trc), tell=wishes.tell),
}
FOLDERS = frozenset({".iuv"})  # written as a folder of files
ALONE = frozenset({".bvh", ".c3d", ".trc"})  # a file a person, their id in its name
POSES = ALONE | {".glb"}  # made of poses in space


def open_sinks(
    specs: Sequence[str],
    *,
    tell: Tell,
    overwrite: bool = False,
    inputs: Sequence[Path] = (),
    layers: Layers = ALL,
    hud: Callable[[Result], Sequence[str]] = lambda _result: (),
    mesh: bool = False,
) -> list[Sink]:
    """Make a writer for every output path, "-" for JSON lines on standard output; none is begun yet.

    `inputs` are files that must not be written over, `layers` and the lines of `hud` what is drawn into
    videos, `tell` takes what the user should know, `mesh` asks for bodies where a format can hold them. All
    outputs are checked before the first is made. Raises UnknownSuffix, UsageError (the same output twice),
    OutputExists, OutputFailed.
    """

    def drawn(image: Image, result: Result) -> Image:
        return draw(image, result, layers, hud(result))

    suffixes = [_suffix(spec) for spec in specs]
    for position, (spec, suffix) in enumerate(zip(specs, suffixes, strict=True)):
        if any(_same(spec, other) for other in specs[:position]):
            raise UsageError(f"two outputs are {spec}; give each its own name")
        if spec != "-":
            _check(Path(spec), overwrite, inputs, folder=suffix in FOLDERS)
            if suffix in ALONE and not overwrite:
                _check_numbered(Path(spec))
    wishes = Wishes(drawn, tell, mesh)
    return [
        JsonlSink(None) if spec == "-" else WRITERS[suffix](Path(spec), wishes)
        for spec, suffix in zip(specs, suffixes, strict=True)
    ]


def _suffix(spec: str) -> str:
    if spec == "-":
        return ""
    name = Path(spec).name.lower()
    fitting = [suffix for suffix in WRITERS if name.endswith(suffix)]
    if not fitting:
        known = " ".join(sorted(WRITERS))
        raise UnknownSuffix(
            f"no writer for {spec}; the known ones are {known} and - for JSON lines on stdout"
        )
    return max(fitting, key=len)


def _same(spec: str, other: str) -> bool:
    """Whether two outputs are one file, links followed."""
    if "-" in (spec, other):
        return spec == other
    one, two = Path(spec), Path(other)
    return one.resolve() == two.resolve() or (one.exists() and two.exists() and one.samefile(two))


def _check(path: Path, overwrite: bool, inputs: Sequence[Path], *, folder: bool) -> None:
    """Raise the error that writing `path` would end in, as far as it can be known before."""
    if path.exists() and any(source.exists() and path.samefile(source) for source in inputs):
        raise OutputExists(f"{path} is the input, which is never written over; give the output another name")
    if path.is_dir() and not folder:
        raise OutputFailed(f"cannot write {path}: it is a folder; give a file name")
    if path.exists() and folder and not path.is_dir():
        raise OutputFailed(
            f"cannot write {path}: it is a file, and a folder is to be made; give another name"
        )
    if path.exists() and not overwrite:
        raise OutputExists(f"{path} exists; give --overwrite to replace it, or another name")
    if not path.parent.is_dir():
        raise OutputFailed(f"cannot write {path}: there is no folder {path.parent}; make it first")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise OutputFailed(f"cannot write {path}: no permission; choose a folder that you may write to")


def _check_numbered(path: Path) -> None:
    """Raise OutputExists where there are files of single people under this name."""
    there = numbered(path)
    if there:
        more = f" and {len(there) - 1} more exist" if len(there) > 1 else " exists"
        raise OutputExists(f"{there[0]}{more}; give --overwrite to replace them, or another name than {path}")
