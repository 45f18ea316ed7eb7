"""What flows through the pipeline: frozen records of numpy arrays, and the three protocols.

Letters in shapes, the same everywhere: N people · J joints or landmarks · H W the whole image · h w a
box or a crop · K padded slots · C channels. Pixels are continuous: pixel (column i, row j) covers
[i, i+1) × [j, j+1), so a box of the whole image is (0, 0, W, H). Arrays inside a record are never
written to after it is made.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bodystream.models.body.pose import Body
from bodystream.models.crop import Crop
from bodystream.models.keypoints import KEYPOINTS, layout_of

Image = NDArray[np.uint8]  # (H, W, 3) BGR, upright
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Span:
    """One step's work on one frame, on the monotonic clock."""

    stage: str  # "decode", "detect", "encode", ...
    frame: int  # index of the frame it worked on
    start_ns: int
    queue_ns: int  # waited before the step began
    host_ns: int  # from begin to end, waiting for the device included
    device_ns: int | None = None  # the device's own time, where it can be told apart


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of the source."""

    index: int  # 0-based position in the source, counted before --stride takes its pick
    pts: Fraction  # seconds of media time
    captured_ns: int  # monotonic clock, when the packet or the camera image arrived
    image: Image
    source: str  # name for people: "dance.mp4", "camera 0"
    file: str | None = None  # the picture's own name, for folders and sequences
    spans: tuple[Span, ...] = ()  # what the source measured: "capture", "decode"


@dataclass(frozen=True, slots=True)
class Mask:
    """A person's silhouette as a small probability map and its place in the image.

    `probability` is uint8 (h, w), 0..255 for 0..1. `to_image` is float64 (2, 3): it takes continuous
    pixel coordinates (x, y, 1) of the map to the image. Paste with `pipeline.masks.silhouettes`.
    """

    probability: NDArray[np.uint8]
    to_image: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Silhouette:
    """A pasted mask: `inside` is bool (h, w) and covers the image rectangle whose corner is (x, y)."""

    x: int
    y: int
    inside: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Dense:
    """Where each pixel of a person lies on the body surface, as a small map and its place in the image.

    `part` is uint8 (h, w): 0 none, 1..24 the parts of `models.body.parts`. `uv` is float32 (2, h, w): U and V
    on the part, 0..1. `confidence` is uint8 (h, w), 0..255 for 0..1. `to_image` is float64 (2, 3): it takes
    continuous pixel coordinates (x, y, 1) of the map to the image. Paste with `pipeline.surfaces.surfaces`.
    """

    part: NDArray[np.uint8]
    uv: Floats
    confidence: NDArray[np.uint8]
    to_image: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Iuv:
    """A pasted dense map, within the person's own silhouette; it covers the image rectangle at (x, y).

    `part` is uint8 (h, w): 0 none, 1..24. `uv` is float32 (2, h, w), 0..1. `confidence` is uint8 (h, w),
    0..255 for 0..1. All are 0 where there is no part.
    """

    x: int
    y: int
    part: NDArray[np.uint8]
    uv: Floats
    confidence: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Pose3d:
    """A person's skeleton in front of the camera: m, x right, y down, z away from the camera.

    `joints`: float32 (23, 4), `models.body.kinematics.JOINTS` and their confidence 0..1. `root`: float32 (3,),
    the point between the hips. `turns`: float32 (17, 3, 3), the segments' rotations from the rest body's axes to
    the camera's. `lengths`: float32 (7,), the person's bones (`models.body.skeleton.BONES`).
    """

    joints: Floats
    root: Floats
    turns: Floats
    lengths: Floats


@dataclass(frozen=True, slots=True)
class Person:
    """One person in one frame; each stage fills in what it gives."""

    box: Floats  # (4,) x0 y0 x1 y1, px
    score: float  # 0..1, the detector's when it last saw this person, halved by each look that did not
    id: int = 0  # from 1; 0 until `track` has given one
    mask: Mask | None = None
    landmarks: Floats | None = None  # (J, 3): x px, y px, confidence 0..1; the J keypoints are the header's
    world: Floats | None = None  # (J, 4): m, hip-centred, x right, y down, z away from the camera; confidence
    next_crop: Crop | None = None  # where the landmark net should look in the next frame
    body: Body | None = None  # the rest body posed into the image, with this person's proportions
    dense: Dense | None = None  # of this frame, never of the last one
    pose3d: Pose3d | None = None  # likewise


@dataclass(frozen=True)
class Result:
    """What the pipeline found in one frame."""

    index: int
    pts: Fraction
    size: tuple[int, int]  # width, height, px
    people: tuple[Person, ...]
    # This frame's spans up to the hand-off, and late ones of earlier frames (draw, encode, write).
    spans: tuple[Span, ...] = ()
    dropped_before: int = 0  # frames that were dropped between the last result and this one
    events: tuple[str, ...] = ()  # "scene cut", "detector every 10 frames", ...
    file: str | None = None
    keypoints: tuple[str, ...] = KEYPOINTS  # the header's: names of the people's landmarks

    @cached_property
    def silhouettes(self) -> tuple[Silhouette | None, ...]:
        """The people's masks pasted into the image, no pixel given to two; made when first asked for."""
        from bodystream.pipeline.masks import silhouettes  # types cannot import their own user at the top

        return silhouettes(self.people, self.size, layout_of(self.keypoints).edges)

    @cached_property
    def surfaces(self) -> tuple[Iuv | None, ...]:
        """The people's dense maps pasted into the image, each within its silhouette; made when first asked for."""
        from bodystream.pipeline.surfaces import surfaces

        return surfaces(self.people, self.silhouettes)


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What is known of a source before its first frame."""

    name: str
    width: int
    height: int
    rate: Fraction | None  # nominal frames a second; None where the container states none
    live: bool  # a camera or a stream: frames may be dropped, and come when they come
    length: int | None  # frames that will be given, where known
    path: Path | None = None  # the file, for sources that are one (audio is taken from it)
    start: Fraction = Fraction(0)  # the media time that was asked for as the beginning
    focal_px: float | None = None  # as pictures of a camera tell it in their EXIF
    notes: tuple[
        str, ...
    ] = ()  # what the user should be told: "camera 0 opened as YUY2 640×480 at 7.5 fps; ..."


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A network that really ran."""

    stage: str
    name: str
    sha256: str
    provider: str
    precision: str
    input: tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Header:
    """What every sink is told before the first frame: the header line of `bodystream/1`."""

    source: SourceInfo
    models: tuple[ModelInfo, ...]
    settings: Mapping[str, Any]
    keypoints: tuple[str, ...]
    extra: Mapping[str, Any] = field(default_factory=dict)  # further keys, by the stages that add them


@dataclass(frozen=True, slots=True)
class Row:
    """Latency of one step over the run, in milliseconds."""

    stage: str
    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    queue_p50_ms: float
    queue_p95_ms: float
    device_p50_ms: float | None = None


@dataclass(frozen=True, slots=True)
class End:
    """What is known when the run is over: the end line of `bodystream/1`."""

    frames: int
    dropped: Mapping[str, int]  # by cause: "busy", "late", ...
    failed: str | None  # the one line of the first failure
    rows: tuple[Row, ...]
    fps: float | None  # results a second of wall time, the first one (warm-up) left out
    people_mean: float
    target_fps: float | None = None
    met: bool | None = None
    counts: Mapping[str, int] = field(default_factory=dict)  # decode errors, reconnects


class Source(Protocol):
    """Where frames come from. Iterating yields them in order of media time, and ends.

    `close` may be called from another thread, and more than once; iteration then ends soon.
    Iteration raises a SourceError where the input fails.
    """

    info: SourceInfo
    counts: Mapping[str, int]  # "decode errors", "reconnects": so far

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None: ...


class Stage(Protocol):
    """One step of the chain; a plain callable that owns no thread and knows no other stage.

    `needs` and `gives` name fields of Person and are checked when the chain is built. `reset` drops
    all state over time: a scene was cut, or the source jumped.
    """

    name: str
    needs: frozenset[str]
    gives: frozenset[str]
    models: tuple[ModelInfo, ...]

    def __call__(self, frame: Frame, people: Sequence[Person]) -> Sequence[Person]: ...

    def reset(self) -> None: ...


class Sink(Protocol):
    """Where results go. `open`, then `write` for every frame, then `close`, always and exactly in this order.

    `write` returns the spans of what it did. `close` is called after a failure too, must leave a
    readable file, and may be called twice; `end` is None where the end is not known. All raise SinkError.
    `frame` is None where a results file is converted and `needs_image` is False.
    """

    needs_image: bool

    def open(self, header: Header) -> None: ...

    def write(self, frame: Frame | None, result: Result) -> Sequence[Span]: ...

    def close(self, end: End | None) -> None: ...
