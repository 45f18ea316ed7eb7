"""Video files, and anything that FFmpeg demuxes from a pipe."""

import select
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from threading import Event
from typing import BinaryIO

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from bodystream.errors import SourceNotFound, SourceUnreadable, UsageError
from bodystream.pipeline.source.decode import Shot, Tools, image_of, nominal_rate, shots, video_stream
from bodystream.pipeline.source.feed import Feed
from bodystream.pipeline.source.pick import Pick, pick, picked_length
from bodystream.pipeline.types import Frame, SourceInfo, Span

PIPE_HINT = "Pipe a format that needs no seeking: mkv, mpegts, or mp4 with its index in front (faststart)."


def open_file(path: Path, want: Pick, clock: Callable[[], int]) -> Feed:
    """Open a video file. Raises SourceNotFound, SourceUnreadable, UsageError (--start behind its end)."""
    try:
        container = av.open(str(path), "r")
    except FileNotFoundError as error:
        raise SourceNotFound(f"{path} does not exist. Check the path.") from error
    except av.error.FFmpegError as error:
        raise SourceUnreadable(f"{path.name} is not a video that FFmpeg opens: {reason(error)}.") from error
    return read_container(container, path.name, want, clock, path=path)


def open_pipe(stream: BinaryIO, want: Pick, clock: Callable[[], int]) -> Feed:
    """Read a video from a binary stream that cannot seek. Raises SourceUnreadable."""
    closed = Event()
    try:
        container = av.open(_Pipe(stream, closed), "r")
        return read_container(container, "stdin", want, clock, closed=closed)
    except av.error.FFmpegError as error:
        told = f"stdin holds no video that FFmpeg demuxes: {reason(error)}."
        raise SourceUnreadable(f"{told} {PIPE_HINT}") from error
    except SourceUnreadable as error:
        raise SourceUnreadable(f"{error} {PIPE_HINT}") from error


def read_container(
    container: InputContainer,
    name: str,
    want: Pick,
    clock: Callable[[], int],
    *,
    path: Path | None = None,
    closed: Event | None = None,
) -> Feed:
    """A finite, open container as a source; closes it, also where it raises.

    Media time 0 is the container's own start (`decode.origin`), so that audio muxed by the same rule stays in
    step; `info.start` is the --start that was asked for. Its first picture is decoded here, which
    tells the upright size and finds out whether there is anything to decode.
    """
    counts = {"decode errors": 0, "frames missing": 0}
    tools = Tools(clock, counts, closed or Event())
    try:
        stream = video_stream(container, name)
        # Frame threads: throughput counts here. Where the very last packets are damaged, PyAV loses what
        # these threads still hold, a picture each.
        stream.thread_type = "AUTO"
        counts["frames missing"] = missing = _missing(container, stream)
        _refuse_late_start(container, name, want)
        decoding = shots(container, stream, tools, start=want.start, name=name)
        first = next(decoding, None)
    except av.error.FFmpegError as error:
        container.close()
        raise SourceUnreadable(f"{name} cannot be read: {reason(error)}.") from error
    except BaseException:
        container.close()
        raise
    width, height = _size(stream, first)
    info = SourceInfo(
        name=name,
        width=width,
        height=height,
        rate=nominal_rate(stream),
        live=False,
        length=picked_length(stream.frames - missing or None, want),
        path=path,
        start=want.start,
        notes=_notes(stream, missing),
    )
    reading = _Reading(name, want, tools, first, decoding)
    return Feed(info, counts, reading.frames(), container.close, tools.closed)


def reason(error: Exception) -> str:
    """What FFmpeg or the system says, without the name or address (which may hold a password)."""
    text = getattr(error, "strerror", None) or type(error).__name__
    return text[0].lower() + text[1:]


def _refuse_late_start(container: InputContainer, name: str, want: Pick) -> None:
    if want.start and container.duration is not None:
        lasts = Fraction(container.duration, 1_000_000)  # AV_TIME_BASE, microseconds
        if want.start >= lasts:
            raise UsageError(
                f"--start {float(want.start):g} is behind the end of {name}, {float(lasts):.2f} s long."
            )


def _size(stream: VideoStream, first: Shot | None) -> tuple[int, int]:
    if first is None:
        return stream.codec_context.width, stream.codec_context.height
    height, width = image_of(first).shape[:2]
    return width, height


def _missing(container: InputContainer, stream: VideoStream) -> int:
    """How many of the packets in the container's index lie behind the end of the file: it was cut off."""
    entries = stream.index_entries
    if len(entries) == 0 or container.size <= 0 or entries[-1].pos + entries[-1].size <= container.size:
        return 0
    return sum(entry.pos + entry.size > container.size for entry in entries)


def _notes(stream: VideoStream, missing: int) -> tuple[str, ...]:
    notes = []
    if missing:
        notes.append(f"the file was cut off: {missing} of its {stream.frames} frames are not in it")
    aspect = stream.sample_aspect_ratio
    if aspect not in (None, 0, 1):
        ratio = f"{aspect.numerator}:{aspect.denominator}"
        notes.append(
            f"its pixels are not square ({ratio}): people look squeezed, coordinates count stored pixels"
        )
    return tuple(notes)


@dataclass(frozen=True, slots=True)
class _Reading:
    name: str
    want: Pick
    tools: Tools
    first: Shot | None
    rest: Generator[Shot, None, None]

    def frames(self) -> Generator[Frame, None, None]:
        with closing(self.rest):
            began = self.tools.clock()
            try:
                for shot in pick(self._shots(), self.want):
                    image = image_of(shot)
                    span = Span("decode", shot.index, began, 0, self.tools.clock() - began)
                    yield Frame(shot.index, shot.pts, shot.captured_ns, image, self.name, spans=(span,))
                    began = self.tools.clock()
            except av.error.FFmpegError as error:
                raise SourceUnreadable(
                    f"reading {self.name} failed in the middle: {reason(error)}."
                ) from error

    def _shots(self) -> Iterator[Shot]:
        if self.first is None:
            return
        # The decoder's threads took in the first packets when the source was opened; the latency of their
        # pictures begins when they are asked for.
        asked_ns = self.tools.clock()

        def from_now_on(shot: Shot) -> Shot:
            return shot if shot.captured_ns >= asked_ns else replace(shot, captured_ns=asked_ns)

        # map keeps no picture alive while the next one is awaited, as a loop's variable would.
        yield from map(from_now_on, chain([self.first], self.rest))


class _Pipe:
    """A stream whose `read` gives up when the source is closed, also while nothing comes."""

    def __init__(self, stream: BinaryIO, closed: Event) -> None:
        self._stream = stream
        self._closed = closed
        self._waits = sys.platform != "win32" and _has_descriptor(stream)  # Windows selects on sockets only

    def read(self, size: int) -> bytes:
        while self._waits and not self._closed.is_set():
            # A fifth of a second: soon for a person, nothing for a processor.
            if select.select([self._stream], [], [], 0.2)[0]:
                break
        if self._closed.is_set():
            return b""
        read = getattr(self._stream, "read1", self._stream.read)  # read1: what is there, not all of `size`
        return bytes(read(size))


def _has_descriptor(stream: BinaryIO) -> bool:
    try:
        stream.fileno()
    except OSError:  # io.UnsupportedOperation is one
        return False
    return True
