"""`test:`, a made source: a walking stick figure, the same on every machine."""

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from fractions import Fraction
from threading import Event

import cv2
import numpy as np

from bodystream.errors import UsageError
from bodystream.pipeline.source.feed import Feed
from bodystream.pipeline.source.pick import Pick, pick, picked_length
from bodystream.pipeline.time import snap_rate
from bodystream.pipeline.types import Frame, Image, SourceInfo, Span

PREFIX = "test:"
EXAMPLE = "test:size=1280x720,rate=30,frames=300"
LEFT, RIGHT, TRUNK, HEAD = (60, 40, 160), (160, 60, 40), (40, 40, 40), (120, 160, 210)  # BGR
SHIFT = (
    4  # OpenCV's fractional bits: the figure moves by sixteenths of a pixel, so that no frame equals the next
)
ONE = 1 << SHIFT
STEP_FRAMES = 30  # one stride of the figure: a second at the usual 30 fps
CROSSING_FRAMES = 240  # from the left edge to the right and round again

Point = tuple[float, float]  # px
Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Pattern:
    """What `test:` asks for: size in px, frames a second, number of frames."""

    width: int = 1280
    height: int = 720
    rate: Fraction = Fraction(30)
    frames: int = 300


def open_pattern(spec: str, want: Pick, clock: Callable[[], int]) -> Feed:
    """The walking figure of `test:size=WxH,rate=R,frames=N`, all of them optional. Raises UsageError."""
    pattern = parse_pattern(spec)
    closed = Event()
    info = SourceInfo(
        name=spec,
        width=pattern.width,
        height=pattern.height,
        rate=pattern.rate,
        live=False,
        length=picked_length(pattern.frames, want),
        start=want.start,
    )
    return Feed(info, {}, _frames(pattern, spec, want, clock, closed), lambda: None, closed)


def parse_pattern(spec: str) -> Pattern:
    """Read `test:` and its settings. Raises UsageError, which shows an example."""
    pattern = Pattern()
    for setting in filter(None, spec.removeprefix(PREFIX).split(",")):
        key, _, value = setting.partition("=")
        try:
            pattern = _with(pattern, key, value)
        except ValueError as error:
            raise UsageError(
                f"{spec}: cannot read {setting!r}; expected size=WxH, rate=R, frames=N. Example: {EXAMPLE}"
            ) from error
    return pattern


def _with(pattern: Pattern, key: str, value: str) -> Pattern:
    if key == "size":
        width, height = (int(side) for side in value.split("x"))
        if width > 0 and height > 0:
            return Pattern(width, height, pattern.rate, pattern.frames)
    if key == "rate":
        return Pattern(pattern.width, pattern.height, snap_rate(value), pattern.frames)
    if key == "frames" and int(value) >= 0:
        return Pattern(pattern.width, pattern.height, pattern.rate, int(value))
    raise ValueError(key)


@dataclass(frozen=True, slots=True)
class _Place:
    index: int
    pts: Fraction


def _frames(
    pattern: Pattern, name: str, want: Pick, clock: Callable[[], int], closed: Event
) -> Generator[Frame, None, None]:
    scene = backdrop(pattern.width, pattern.height)
    places = (_Place(index, index / pattern.rate) for index in range(pattern.frames))
    for place in pick(places, want):
        if closed.is_set():
            return
        began = clock()
        image = walker(scene, place.index)
        span = Span("decode", place.index, began, 0, clock() - began)
        yield Frame(place.index, place.pts, began, image, name, spans=(span,))


def backdrop(width: int, height: int) -> Image:
    """A sky that darkens downwards over a floor: uint8 (height, width, 3) BGR."""
    shade = np.linspace(220, 140, height).astype(np.uint8)
    shade[height * 4 // 5 :] = 90
    return np.ascontiguousarray(np.broadcast_to(shade[:, None, None], (height, width, 3)))


def walker(scene: Image, index: int) -> Image:
    """The figure of frame `index` in front of the scene; a new image of the scene's shape."""
    image = scene.copy()
    height, width = scene.shape[:2]
    tall = height * 0.6
    swing = 0.5 * math.sin(2 * math.pi * index / STEP_FRAMES)
    hip = (width * (index % CROSSING_FRAMES) / CROSSING_FRAMES, height * 0.55)
    neck = (hip[0], hip[1] - tall * 0.32)
    for side, colour in ((1, LEFT), (-1, RIGHT)):
        _limb(image, hip, tall * 0.45, side * swing, colour, tall * 0.06)
        _limb(image, neck, tall * 0.34, -side * swing, colour, tall * 0.05)
    _line(image, neck, hip, TRUNK, tall * 0.12)
    head = _fixed((neck[0], neck[1] - tall * 0.11))
    cv2.circle(image, head, round(tall * 0.07 * ONE), HEAD, cv2.FILLED, cv2.LINE_AA, SHIFT)
    return image


def _limb(image: Image, top: Point, length: float, angle: float, colour: Colour, thick: float) -> None:
    bent = angle - 0.25  # knees and elbows give way to one side
    middle = (top[0] + length / 2 * math.sin(angle), top[1] + length / 2 * math.cos(angle))
    end = (middle[0] + length / 2 * math.sin(bent), middle[1] + length / 2 * math.cos(bent))
    _line(image, top, middle, colour, thick)
    _line(image, middle, end, colour, thick)


def _line(image: Image, begin: Point, end: Point, colour: Colour, thick: float) -> None:
    pixels = min(max(int(thick), 1), 255)  # OpenCV draws no thicker line
    cv2.line(image, _fixed(begin), _fixed(end), colour, pixels, cv2.LINE_AA, SHIFT)


def _fixed(point: Point) -> tuple[int, int]:
    return round(point[0] * ONE), round(point[1] * ONE)
