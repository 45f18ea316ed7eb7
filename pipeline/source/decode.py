"""From an open container to upright BGR pictures with exact times: what files and streams share."""

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from threading import Event
from typing import cast

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.sidedata.sidedata import SideData
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from bodystream.errors import SourceUnreadable
from bodystream.pipeline.time import Timeline, snap_rate
from bodystream.pipeline.types import Image

DEFAULT_RATE = Fraction(25)  # what FFmpeg assumes of raw video without time stamps
# Ten seconds at 30 fps without one good picture: this is not damage to survive, it is not decodable.
MAX_FAILURES = 300

DisplayMatrix = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Shot:
    """A decoded picture, not yet converted."""

    index: int
    pts: Fraction
    captured_ns: int  # when the packet that holds it arrived
    waited_ns: int  # spent waiting for packets, since decoding began
    picture: VideoFrame
    matrix: DisplayMatrix | None  # the stream's display matrix


@dataclass(frozen=True, slots=True)
class Tools:
    """What a decoding needs from outside: the clock, the counts it adds to, the sign to stop."""

    clock: Callable[[], int]
    counts: dict[str, int]
    closed: Event


def video_stream(container: InputContainer, name: str) -> VideoStream:
    """The container's main video stream. Raises SourceUnreadable where it has none but a cover picture."""
    if container.format.name == "tty":  # FFmpeg draws any .txt as a film of letters
        raise SourceUnreadable(f"{name} is a text file. Give a video or a picture.")
    if not container.streams:
        raise SourceUnreadable(
            f"{name} holds nothing that FFmpeg finds. Was it cut off? Copy it again in full."
        )
    videos = [
        stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic
    ]
    if not videos:
        kinds = ", ".join(sorted({stream.type for stream in container.streams}))
        raise SourceUnreadable(f"{name} holds no video: found {kinds}. Give a file with a video stream.")
    best = container.streams.best("video")
    stream = best if best in videos else videos[0]
    assert isinstance(stream, VideoStream)  # best("video") is one
    if stream.codec_context is None:
        raise SourceUnreadable(
            f"{name}: this FFmpeg has no decoder for its video. Convert it to H.264 first."
        )
    return stream


def origin(container: InputContainer) -> Fraction:
    """The container's own time where media time is 0: where the first of its sounds and pictures begins.

    Seconds. Media time of any packet, audio too, is `pts * time_base - origin`, so streams stay in step.
    """
    starts = [
        stream.start_time * stream.time_base
        for stream in (*container.streams.video, *container.streams.audio)
        if stream.start_time is not None and stream.time_base is not None
    ]
    return min(starts, default=Fraction(0))


def nominal_rate(stream: VideoStream) -> Fraction | None:
    """Frames a second as the container states or FFmpeg guesses them; None where there is no telling."""
    guessed, average = stream.guessed_rate, stream.average_rate
    # Of uneven times FFmpeg guesses the rate at which they would all be even: 120 for 20 frames a second.
    uneven = guessed and average and guessed > average * 3 / 2
    rate = average if uneven else guessed or average
    return snap_rate(rate) if rate else None


def shots(
    container: InputContainer, stream: VideoStream, tools: Tools, *, start: Fraction = Fraction(0), name: str
) -> Generator[Shot, None, None]:
    """Decode from the first picture at or after `start` (seconds of media time) to the end.

    Packets before the last keyframe before `start` are read, counted and left undecoded. No seek is as exact
    in every container, and pipes have none; so `index` always counts from the beginning of the file.
    A picture that cannot be decoded leaves no gap in the indices.

    Raises SourceUnreadable after MAX_FAILURES packets in a row without a picture, or at the end where
    there were only failures; av.FFmpegError where reading itself fails.
    """
    zero, tick = origin(container), stream.time_base or Fraction(1, 90_000)
    timeline = Timeline(1 / (nominal_rate(stream) or DEFAULT_RATE), tick)
    reader = _Reader(container, stream, tools, zero)
    arrivals: dict[int | None, int] = {}  # packet pts -> when it came
    failures, index, begun, matrix = 0, 0, start == 0, None
    for packet in reader.from_keyframe(start):
        if tools.closed.is_set():
            return
        arrivals[packet.pts] = arrived = tools.clock()
        pictures = _decoded(packet, tools.counts)
        failures = failures + 1 if pictures is None else 0 if pictures else failures
        if failures > MAX_FAILURES:
            raise SourceUnreadable(f"{name}: {failures} packets in a row do not decode. Is it damaged?")
        for picture in pictures or ():
            if index == 0:
                matrix = display_matrix(picture)
            stamp = None if picture.pts is None else picture.pts * (picture.time_base or tick) - zero
            time = timeline.place(stamp)
            if not begun and time >= start:
                begun = True
                index = reader.before if reader.stamped else index
            if begun:
                captured_ns = arrivals.pop(picture.pts, arrived)
                yield Shot(index, time, captured_ns, reader.waited_ns, picture, matrix)
            index += 1
        if pictures and len(arrivals) > MAX_FAILURES:
            arrivals.clear()  # packets that became no picture
    if index == 0 and tools.counts["decode errors"]:
        raise SourceUnreadable(
            f"{name} is a {stream.codec_context.name} video, but no picture of it can be decoded."
        )


def _decoded(packet: "Packet[VideoStream]", counts: dict[str, int]) -> list[VideoFrame] | None:
    """The pictures that a packet completes, often none or one; None, and counted, where it is damaged."""
    try:
        pictures = packet.decode()
    except av.error.FFmpegError:
        counts["decode errors"] += 1
        return None
    counts["decode errors"] += sum(picture.is_corrupt for picture in pictures)
    return pictures


class _Reader:
    """Reads a stream's packets, and counts and times what it reads."""

    def __init__(self, container: InputContainer, stream: VideoStream, tools: Tools, zero: Fraction) -> None:
        self.before = 0  # packets that are shown before the start
        self.stamped = False  # packets carry time stamps, so that `before` is right
        self.waited_ns = 0
        self._packets = self._read(container, stream, tools)
        self._tools = tools
        self._zero = zero

    def from_keyframe(self, start: Fraction) -> "Iterator[Packet[VideoStream]]":
        """All packets from the last keyframe at or before `start`; all there are where they lack stamps."""
        if start == 0:
            yield from self._packets
            return
        held: list[Packet[VideoStream]] = []
        for packet in self._packets:
            time = self._time(packet)
            if not held and self.before == 0:
                self.stamped = packet.pts is not None
            if packet.is_keyframe and self.stamped and time is not None and time <= start:
                held.clear()
            held.append(packet)
            self._count(packet, start)
            if time is None or time >= start or not self.stamped or self._tools.closed.is_set():
                break
        yield from held
        for packet in self._packets:
            self._count(packet, start)
            yield packet

    def _count(self, packet: "Packet[VideoStream]", start: Fraction) -> None:
        time = self._time(packet)
        # An edit list hides the packets it discards: they are decoded and not shown.
        self.before += int(time is not None and time < start and not packet.is_discard)

    def _time(self, packet: "Packet[VideoStream]") -> Fraction | None:
        stamp = packet.pts if packet.pts is not None else packet.dts
        return None if stamp is None else stamp * packet.time_base - self._zero

    def _read(
        self, container: InputContainer, stream: VideoStream, tools: Tools
    ) -> "Generator[Packet[VideoStream], None, None]":
        failures = 0
        while failures < MAX_FAILURES:
            packets = container.demux(stream)
            try:
                while True:
                    began = tools.clock()
                    packet = next(packets, None)
                    self.waited_ns += tools.clock() - began
                    if packet is None:
                        return
                    failures = 0
                    yield packet
            except av.error.InvalidDataError:  # a damaged stretch: FFmpeg goes on behind it
                tools.counts["decode errors"] += 1
                failures += 1


def display_matrix(picture: VideoFrame) -> DisplayMatrix | None:
    """How the picture is to be turned; None where it stands upright already.

    Ask once a stream, not once a picture: PyAV ties a picture that was asked into a cycle with its side
    data, which keeps it until Python next collects garbage, hundreds of pictures later.
    """
    # PyAV's stubs know of motion vectors only.
    matrix = cast("Mapping[str, SideData]", picture.side_data).get("DISPLAYMATRIX")
    return None if matrix is None else np.frombuffer(bytes(matrix), np.int32)


def image_of(shot: Shot) -> Image:
    """The picture upright in BGR: uint8 (H, W, 3).

    Colours follow the picture's own matrix and range (BT.601 where it names none, as FFmpeg and OpenCV
    do); the display matrix is applied, turns by right angles and mirrorings alike.
    """
    image = np.asarray(shot.picture.to_ndarray(format="bgr24"), np.uint8)
    return image if shot.matrix is None else turn(image, shot.matrix)


def turn(image: Image, matrix: DisplayMatrix) -> Image:
    """Apply a display matrix (nine int32, row by row: a b u c d v x y w) to an image.

    It takes (x, y) to (a x + c y, b x + d y): libavutil/display.h. Angles that are no right angle
    are taken to the nearest.
    """
    a, b, c, d = (int(matrix[i]) for i in (0, 1, 3, 4))
    if abs(b) > abs(a):
        image = _bgr(cv2.transpose(image))
        a, d = c, b  # x' now follows the old y, and y' the old x
    if a < 0 and d < 0:
        return _bgr(cv2.flip(image, -1))
    if a < 0:
        return _bgr(cv2.flip(image, 1))
    return _bgr(cv2.flip(image, 0)) if d < 0 else image


def _bgr(image: cv2.typing.MatLike) -> Image:
    return np.asarray(image, np.uint8)
