"""What the commands share that look at one scene through several calibrated cameras."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bodystream.cli import options as o

if TYPE_CHECKING:  # these bring numpy, and --help must answer at once
    from bodystream.pipeline.calibration import Camera
    from bodystream.pipeline.types import Result, Source, Stage

Calibration = Annotated[
    str,
    typer.Argument(
        metavar="CALIBRATION",
        help="The cameras: a Qualisys .qca.txt, Pose2Sim .toml or OpenCV .yml file, or a name of `models list`.",
        show_default=False,
    ),
]
Videos = Annotated[
    list[str],
    typer.Argument(
        metavar="VIDEOS...",
        help="Synchronous videos, one a camera: files, or names of `models list`. A video whose name holds a "
        "camera's belongs to it; else their order decides.",
        show_default=False,
    ),
]
Refine = Annotated[
    bool,
    typer.Option(
        "--refine/--no-refine",
        help="Turn the cameras until the landmarks of the footage meet best, and tell by how much.",
        rich_help_panel=o.INPUT,
    ),
]


def open_rig(calibration: str, videos: Sequence[str], *, offline: bool) -> "tuple[list[Camera], list[Path]]":
    """The cameras, one a video, and the videos' files; fetched where they are named by the zoo."""
    from bodystream.cli.prepare import fetched
    from bodystream.pipeline.calibration import of_videos, read_cameras

    file, *paths = fetched([calibration, *videos], offline=offline)
    known = read_cameras(file)
    return of_videos(known, [path.name for path in paths]), paths


@contextmanager
def in_step(
    cameras: "Sequence[Camera]",
    paths: Sequence[Path],
    open_chain: "Callable[[Camera], list[Stage]]",
    max_frames: int | None,
    progress: Callable[[int, int], None],
) -> "Iterator[tuple[list[Camera], Iterator[tuple[Result, ...]]]]":
    """Run a chain on every video, in step.

    Gives the cameras, fitted to the videos' frames, and for each moment one result a camera. `open_chain` gets
    the fitted camera; `progress` is told of the moments done, and of all.
    """
    from bodystream.pipeline.source import open_source

    with ExitStack() as stack:
        sources = []
        for path in paths:
            sources.append(open_source(str(path), max_frames=max_frames))
            stack.callback(sources[-1].close)
        fitted = [
            camera.fitted((source.info.width, source.info.height))
            for camera, source in zip(cameras, sources, strict=True)
        ]
        length = min((source.info.length or 0 for source in sources), default=0)
        runs = [_results(source, open_chain(camera)) for source, camera in zip(sources, fitted, strict=True)]

        def moments() -> "Iterator[tuple[Result, ...]]":
            for done, moment in enumerate(zip(*runs, strict=False), start=1):
                yield moment
                progress(done, max(length, done))

        yield fitted, moments()


def _results(source: "Source", stages: "list[Stage]") -> "Iterator[Result]":
    import time

    from bodystream.pipeline.chain import Chain
    from bodystream.pipeline.types import Result

    chain = Chain(stages, time.monotonic_ns)
    for frame in source:
        people, _, _ = chain(frame)
        yield Result(frame.index, frame.pts, (frame.image.shape[1], frame.image.shape[0]), people)
