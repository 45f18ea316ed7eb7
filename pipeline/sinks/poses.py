"""What the writers of motion share: poses gathered in a file as they come, turned into the final files at the end."""

import importlib.util
import re
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

import numpy as np
from numpy.typing import NDArray

from bodystream.errors import OutputFailed, UsageError
from bodystream.models.body.kinematics import quaternions
from bodystream.pipeline.clip import ROW, Clock, Motion, Rows, clock_of, floor_of, motion_of
from bodystream.pipeline.ground import up_of, world_axes
from bodystream.pipeline.sinks.output import Pieces, part, writing
from bodystream.pipeline.time import rate_text
from bodystream.pipeline.types import End, Frame, Header, Result, Span


@dataclass(frozen=True, slots=True)
class OnePerson:
    """A format whose files hold one person, with their id in the name; `package`, if any, is what writes it."""

    write: Callable[[Path, Motion], None]
    package: str | None = None


@dataclass(frozen=True, slots=True)
class Everybody:
    """A format whose files hold everybody."""

    write: Callable[[Path, Iterable[Motion]], None]


class PoseSink:
    """Gathers every person's poses and makes the files of one format of them when the run ends, however it ends.

    They are gathered in `NAME.part`, so memory stays flat but for 8 bytes a frame. `kill -9` leaves only that:
    `bodystream convert` then makes the files from the JSON lines. A file appears when it is whole. Files of one
    person are called `walk.1.bvh` for `walk.bvh`; those of an earlier run are taken away when the new ones are
    there. `open` raises UsageError where the run finds no poses in space. `tell` is told what was written.
    """

    needs_image = False

    def __init__(
        self,
        path: Path,
        form: OnePerson | Everybody,
        *,
        tell: Callable[[str], None],
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._path, self._form, self._tell, self._clock = path, form, tell, clock
        self._rows = Pieces(part(path))
        self._times = array("d")
        self._header: Header | None = None
        if isinstance(form, OnePerson):
            _check_package(path, form.package)
        self._earlier: list[Path] = []

    def open(self, header: Header) -> None:
        """Begin to gather."""
        if "joints" not in header.extra:
            raise UsageError(
                f"{self._path} needs poses in space, which these results lack; run again with --pose3d fit, or with "
                "--weights vnect=FILE where the chain is rcnn"
            )
        if isinstance(self._form, OnePerson):
            self._earlier = numbered(self._path)
        self._rows.open()
        self._header = header

    def write(self, frame: Frame | None, result: Result) -> Sequence[Span]:  # noqa: ARG002 - asked for by Sink
        """Add the frame's poses."""
        start = self._clock()
        self._rows.write(b"".join(row.tobytes() for row in _rows(result)))
        self._times.append(float(result.pts))
        return (Span(f"write {self._path.suffix[1:]}", result.index, start, 0, self._clock() - start),)

    def close(self, end: End | None) -> None:  # noqa: ARG002 - asked for by Sink
        """Make the files."""
        header, self._header = self._header, None
        if header is None:
            return
        try:
            self._rows.close()
            with writing(self._path):
                self._finish(header)
        finally:
            part(self._path).unlink(missing_ok=True)

    def _finish(self, header: Header) -> None:
        rows, clock = _read(part(self._path)), clock_of(np.array(self._times), header.source.rate)
        together = isinstance(self._form, Everybody)
        people = _motions(rows, clock, world_axes(up_of(header)), together=together)
        written: list[Path] = []
        if isinstance(self._form, Everybody):
            written.append(self._path)
            with _whole(self._path) as new:
                self._form.write(new, people)
        else:
            for motion in people:
                written.append(self._path.with_name(f"{self._path.stem}.{motion.id}{self._path.suffix}"))
                with _whole(written[-1]) as new:
                    self._form.write(new, motion)
        for path in set(self._earlier) - set(written):
            path.unlink(missing_ok=True)
        if written:
            names = ", ".join(path.name for path in written)
            frames = "1 frame" if clock.count == 1 else f"{clock.count} frames"
            self._tell(f"{self._path}: {names}, {frames} at {rate_text(clock.rate)} fps")
        else:
            self._tell(f"{self._path}: nobody had a pose, so nothing was written")


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Where to write a file that appears at `path` when it is whole."""
    # In a folder of its own, since writers note the name or go by it.
    folder = path.with_name(path.name + ".new")
    try:
        folder.mkdir(exist_ok=True)
        yield folder / path.name
        (folder / path.name).replace(path)
    finally:
        rmtree(folder, ignore_errors=True)


def numbered(path: Path) -> list[Path]:
    """The files that there are of single people, `walk.1.bvh` and so on for `walk.bvh`, in order."""
    name = re.compile(rf"{re.escape(path.stem)}\.(\d+){re.escape(path.suffix)}")
    found = {
        entry: name.fullmatch(entry.name) for entry in (path.parent.iterdir() if path.parent.is_dir() else ())
    }
    numbers = {entry: int(match[1]) for entry, match in found.items() if match}
    return sorted(numbers, key=numbers.__getitem__)


def _check_package(path: Path, name: str | None) -> None:
    if name is not None and importlib.util.find_spec(name) is None:
        raise OutputFailed(
            f"cannot write {path}: {name} is not installed; pip install {name}, and where it has no wheel for "
            "this platform build it, or write another format"
        )


def _rows(result: Result) -> Iterator[NDArray[np.void]]:
    """The frame's poses, ROW each; one that is not finite is none."""
    for person in result.people:
        pose = person.pose3d
        if pose is not None and all(
            np.isfinite(each).all() for each in (pose.root, pose.turns, pose.lengths)
        ):
            row = (float(result.pts), person.id, pose.root, quaternions(pose.turns), pose.lengths)
            yield np.array(row, ROW)


def _read(path: Path) -> Rows:
    count = path.stat().st_size // ROW.itemsize  # half a row is what a full disk leaves
    return np.memmap(path, ROW, "r", shape=(count,)) if count else np.empty(0, ROW)


def _motions(rows: Rows, clock: Clock, axes: NDArray[np.float64], *, together: bool) -> Iterator[Motion]:
    """Everybody's motion, in order of their ids; one at a time is in memory.

    `together` they have one floor. Else everybody has their own: the floor of one file must not hang on how far away
    somebody else in the picture is taken to be.
    """
    floor = floor_of(rows, axes) if together else None
    for number in np.unique(rows["id"]):
        own = rows[rows["id"] == number]
        yield motion_of(own, clock, axes, floor_of(own, axes) if floor is None else floor)
