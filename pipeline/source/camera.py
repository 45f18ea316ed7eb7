"""Cameras of this machine, by OpenCV."""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from threading import Event
from typing import Protocol

import cv2
import cv2.utils.logging as cv2_logging
import numpy as np

from bodystream.errors import SourceNotFound, SourceUnreadable, StreamLost, UsageError
from bodystream.pipeline.source.feed import Feed
from bodystream.pipeline.source.pick import Pick, pick
from bodystream.pipeline.time import from_ns, rate_text, snap_rate
from bodystream.pipeline.types import Frame, SourceInfo, Span

# Enough to see a rate, few enough to begin within a second at 15 fps; the first picture waits for the sensor.
MEASURED_FRAMES = 12
MEASURE_AT_MOST_NS = 2_000_000_000
# A USB camera drops a picture now and then; one second of nothing but failures is one that was unplugged.
FAILED_GRABS = 20
PAUSE_S = 0.05
# Drivers round rates, and a dim room costs a picture or two; less than nine tenths is another mode.
NEAR = Fraction(9, 10)


class Capture(Protocol):
    """The part of cv2.VideoCapture that is used; a fake stands in for it in tests."""

    def isOpened(self) -> bool: ...  # noqa: N802 - OpenCV's name
    def set(self, prop: int, value: float, /) -> bool: ...
    def get(self, prop: int, /) -> float: ...
    def grab(self) -> bool: ...
    def retrieve(self) -> tuple[bool, cv2.typing.MatLike]: ...
    def release(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Mode:
    """A camera's picture size in px, rate and pixel format; None where it is not known or not asked for."""

    size: tuple[int, int] | None = None
    rate: Fraction | None = None
    fourcc: str | None = None

    def __str__(self) -> str:
        words = [self.fourcc, f"{self.size[0]}×{self.size[1]}" if self.size else None]
        text = " ".join(word for word in words if word)
        return f"{text} at {rate_text(self.rate)} fps".strip() if self.rate else text


def open_camera(
    number: int,
    asked: Mode,
    want: Pick,
    clock: Callable[[], int],
    *,
    capture: Callable[[int], Capture] = cv2.VideoCapture,
    wait: Callable[[float], bool] | None = None,
) -> Feed:
    """Open camera `number` in the mode asked for, see what it really gives, and tell so in `info.notes`.

    The pictures that the rate is measured on are not given out: a sensor sets its exposure on them anyway.
    Media time is the time since the first picture given, by `clock`; a frame's index counts pictures that
    arrived. `wait(seconds)` returns True where the source was closed meanwhile.

    Raises SourceNotFound (no such camera), SourceUnreadable (it gives no picture), UsageError (a FOURCC of
    another length), and StreamLost from the iteration when it stops giving pictures.
    """
    name = f"camera {number}"
    if asked.fourcc is not None and len(asked.fourcc) != 4:
        raise UsageError(f"--fourcc {asked.fourcc} is not four letters. Examples: MJPG, YUY2, NV12.")
    with _quiet():
        device = capture(number)
        if not device.isOpened():
            device.release()
            raise SourceNotFound(
                f"{name} cannot be opened: absent, in use, or not permitted. List: bodystream doctor"
            )
        _ask(device, asked)
        given = _look(device, clock)
    if given is None:
        device.release()
        raise SourceUnreadable(
            f"{name} opened but gives no picture. Is another program using it? Try another --size."
        )
    assert given.size is not None  # _look measured it
    closed = Event()
    info = SourceInfo(
        name=name,
        width=given.size[0],
        height=given.size[1],
        rate=given.rate,
        live=True,
        length=None,
        start=want.start,
        notes=(opened_note(name, given, asked),),
    )
    counts = {"decode errors": 0, "failed grabs": 0}
    reading = _Reading(device, name, want, clock, counts, closed, wait or closed.wait)
    return Feed(info, counts, reading.frames(), device.release, closed)


def opened_note(name: str, given: Mode, asked: Mode) -> str:
    """What the camera gives and, where that is not what was asked for, what to try."""
    told = f"{name} opened as {given}"
    differs = (
        (asked.size is not None and asked.size != given.size)
        or (asked.fourcc is not None and asked.fourcc != given.fourcc)
        or (asked.rate is not None and given.rate is not None and given.rate < asked.rate * NEAR)
    )
    if not differs:
        return told
    tries = (
        "another --size"
        if (asked.fourcc or given.fourcc) == "MJPG" == given.fourcc
        else "--fourcc MJPG or another --size"
    )
    return f"{told}; asked for {asked}. Try {tries}."


@contextmanager
def _quiet() -> Iterator[None]:
    """OpenCV reports an absent camera in ten lines on stderr; one line of ours says it."""
    level = cv2_logging.getLogLevel()
    cv2_logging.setLogLevel(cv2_logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2_logging.setLogLevel(level)


def _ask(device: Capture, asked: Mode) -> None:
    # The format first: V4L2 offers sizes and rates per format, and picks the nearest of those.
    if asked.fourcc is not None:
        device.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*asked.fourcc))
    if asked.size is not None:
        device.set(cv2.CAP_PROP_FRAME_WIDTH, asked.size[0])
        device.set(cv2.CAP_PROP_FRAME_HEIGHT, asked.size[1])
    if asked.rate is not None:
        device.set(cv2.CAP_PROP_FPS, float(asked.rate))
    device.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest picture, not the fourth newest


def _look(device: Capture, clock: Callable[[], int]) -> Mode | None:
    """The mode by its own pictures: size and rate measured, format read back; None without a picture."""
    began = clock()
    times: list[int] = []
    size = None
    while len(times) < MEASURED_FRAMES and clock() - began < MEASURE_AT_MOST_NS:
        if not device.grab():
            if clock() - began > MEASURE_AT_MOST_NS:
                break
            continue
        times.append(clock())
        done, image = device.retrieve()
        if done:
            size = (image.shape[1], image.shape[0])
    if size is None:
        return None
    steps, span_ns = len(times) - 1, times[-1] - times[0]
    rate = snap_rate(steps / float(from_ns(span_ns))) if span_ns > 0 else None
    return Mode(size, rate, _fourcc(device))


def _fourcc(device: Capture) -> str | None:
    code = int(device.get(cv2.CAP_PROP_FOURCC))
    text = "".join(chr(code >> shift & 0xFF) for shift in (0, 8, 16, 24)) if code > 0 else ""
    return text.strip() if text.isprintable() and text.strip() else None


@dataclass(frozen=True, slots=True)
class _Place:
    index: int
    pts: Fraction
    began_ns: int
    captured_ns: int


@dataclass(frozen=True, slots=True)
class _Reading:
    device: Capture
    name: str
    want: Pick
    clock: Callable[[], int]
    counts: dict[str, int]
    closed: Event
    wait: Callable[[float], bool]

    def frames(self) -> Generator[Frame, None, None]:
        for place in pick(self._grabbed(), self.want):
            began = self.clock()
            done, image = self.device.retrieve()
            if not done:
                self.counts["decode errors"] += 1
                continue
            spans = (
                Span("capture", place.index, place.began_ns, 0, place.captured_ns - place.began_ns),
                Span("decode", place.index, began, 0, self.clock() - began),
            )
            picture = np.asarray(image, np.uint8)
            yield Frame(place.index, place.pts, place.captured_ns, picture, self.name, spans=spans)

    def _grabbed(self) -> Iterator[_Place]:
        index, first, failures = 0, None, 0
        while not self.closed.is_set():
            began = self.clock()
            if self.device.grab():
                now = self.clock()
                first = now if first is None else first
                yield _Place(index, from_ns(now - first), began, now)
                index, failures = index + 1, 0
                continue
            self.counts["failed grabs"] += 1
            failures += 1
            if failures == FAILED_GRABS:
                raise StreamLost(
                    f"{self.name} stopped giving pictures after {index}. Is it still plugged in?"
                )
            if self.wait(PAUSE_S):
                return
