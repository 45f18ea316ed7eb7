"""Every kind of source through the same cases."""

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from bodystream.pipeline.source import open_source
from bodystream.pipeline.source.camera import Mode, open_camera
from bodystream.pipeline.source.pattern import backdrop, walker
from bodystream.pipeline.source.pick import make_pick
from bodystream.pipeline.source.stream import open_address
from bodystream.pipeline.types import Image, Source
from tests.cameras import Camera, Clock
from tests.footage import index_of, make_pictures, make_video

FRAMES = 30
RATE = Fraction(25)
GOP = {"g": "8"}  # so that a start lies behind several keyframes


@dataclass(frozen=True)
class Kind:
    name: str
    open: Callable[..., AbstractContextManager[Source]]  # (folder, **pick)
    live: bool = False
    knows_length: bool = False
    number: Callable[[Image], int] = index_of


def pattern_number(image: Image) -> int:
    scene = backdrop(image.shape[1], image.shape[0])
    return next(index for index in range(FRAMES) if np.array_equal(walker(scene, index), image))


def of_file(
    name: str, codec: str = "libx264", **options: Any
) -> Callable[..., AbstractContextManager[Source]]:
    def opened(folder: Path, **picks: Any) -> AbstractContextManager[Source]:
        path = make_video(folder / name, frames=FRAMES, codec=codec, **{"options": GOP, **options})
        return nullcontext(open_source(str(path), **picks))

    return opened


def of_pipe(folder: Path, **picks: Any) -> AbstractContextManager[Source]:
    path = make_video(folder / "piped.mkv", frames=FRAMES, options=GOP)
    return nullcontext(open_source("-", stdin=io.BytesIO(path.read_bytes()), **picks))


def of_pictures(spec: str, **options: Any) -> Callable[..., AbstractContextManager[Source]]:
    def opened(folder: Path, **picks: Any) -> AbstractContextManager[Source]:
        make_pictures(folder / "pictures", [f"p{index:03d}.png" for index in range(FRAMES)])
        return nullcontext(open_source(str(folder / spec), **options, **picks))

    return opened


def of_pattern(_: Path, **picks: Any) -> AbstractContextManager[Source]:
    return nullcontext(open_source(f"test:size=64x48,rate=25,frames={FRAMES}", **picks))


def checked(start: Any = None, end: Any = None, stride: int = 1, max_frames: Any = None) -> Any:
    return make_pick(start, end, stride, max_frames)


def of_camera(_: Path, **picks: Any) -> AbstractContextManager[Source]:
    clock = Clock()
    camera = Camera(clock, [True] * (12 + FRAMES))
    # `wait` says "closed meanwhile" at the first failed grab: the camera ends there.
    feed = open_camera(
        0, Mode(), checked(**picks), clock, capture=lambda number: camera, wait=lambda seconds: True
    )
    return nullcontext(feed)


def of_stream(folder: Path, **picks: Any) -> AbstractContextManager[Source]:
    path = make_video(folder / "live.ts", frames=FRAMES, options=GOP)
    feed = open_address(
        "rtsp://camera/1",
        checked(**picks),
        Clock(),
        connect=lambda address: av.open(str(path), "r"),
        wait=lambda seconds: True,
    )
    return nullcontext(feed)


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def of_http(folder: Path, **picks: Any) -> Iterator[Source]:
    make_video(folder / "clip.mp4", frames=FRAMES, options=GOP, muxer={"movflags": "faststart"})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield open_source(f"http://127.0.0.1:{server.server_port}/clip.mp4", **picks)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


KINDS = [
    Kind("mp4", of_file("clip.mp4"), knows_length=True),
    Kind("mp4 with sound", of_file("clip.mp4", audio=True), knows_length=True),
    Kind("mp4 turned", of_file("clip.mp4", rotation=90), knows_length=True),
    Kind("mkv", of_file("clip.mkv")),
    Kind("ts", of_file("clip.ts")),
    Kind("avi", of_file("clip.avi", "mpeg4"), knows_length=True),
    Kind("raw h264", of_file("clip.h264")),
    Kind(
        "hevc",
        of_file("clip.mp4", "libx265", options={"x265-params": "keyint=8:log-level=none"}),
        knows_length=True,
    ),
    Kind("pipe", of_pipe),
    Kind("http", of_http, knows_length=True),
    Kind("folder", of_pictures("pictures", fps=25), knows_length=True),
    Kind("glob", of_pictures("pictures/p*.png", fps=25), knows_length=True),
    Kind("sequence", of_pictures("pictures/p%03d.png", fps=25), knows_length=True),
    Kind("pattern", of_pattern, knows_length=True, number=pattern_number),
    Kind("camera", of_camera, live=True),
    Kind("stream", of_stream, live=True),
]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    assert isinstance(request.param, Kind)
    return request.param


def test_info(kind: Kind, tmp_path: Path) -> None:
    with kind.open(tmp_path) as source:
        info = source.info
        source.close()
    assert (info.width, info.height, info.rate, info.live) == (64, 48, RATE, kind.live)
    assert info.length == (FRAMES if kind.knows_length else None)
    assert info.name and "\n" not in info.name
    assert info.start == 0


def test_every_frame_once_in_order_at_its_time(kind: Kind, tmp_path: Path) -> None:
    with kind.open(tmp_path) as source:
        frames = list(source)
    assert [frame.index for frame in frames] == list(range(FRAMES))
    assert [kind.number(frame.image) for frame in frames] == list(range(FRAMES))
    assert [frame.pts for frame in frames] == [index / RATE for index in range(FRAMES)]
    assert source.counts.get("decode errors", 0) == 0
    for frame in frames:
        assert frame.image.dtype == np.uint8
        assert frame.image.shape == (48, 64, 3)
        assert frame.image.flags.c_contiguous
        assert frame.source == source.info.name


def test_spans_tell_the_decoding_of_each_frame(kind: Kind, tmp_path: Path) -> None:
    with kind.open(tmp_path) as source:
        frames = list(source)
    expected = ["capture", "decode"] if kind.live else ["decode"]
    assert [[span.stage for span in frame.spans] for frame in frames] == [expected] * FRAMES
    assert all(span.frame == frame.index and span.host_ns >= 0 for frame in frames for span in frame.spans)


PICKS = {
    "start on a frame": ({"start": 0.4}, range(10, 30)),
    "start between frames": ({"start": 0.41}, range(11, 30)),
    "start in the last frame's time": ({"start": 1.16}, [29]),
    "end on a frame": ({"end": 0.4}, range(10)),
    "end between frames": ({"end": 0.41}, range(11)),
    "end behind the last frame": ({"end": 99}, range(30)),
    "stride": ({"stride": 7}, [0, 7, 14, 21, 28]),
    "stride from the start": ({"start": 0.2, "stride": 7}, [5, 12, 19, 26]),
    "max": ({"max_frames": 3}, [0, 1, 2]),
    "max more than there are": ({"max_frames": 99}, range(30)),
    "all": ({"start": 0.2, "end": 1.0, "stride": 4, "max_frames": 3}, [5, 9, 13]),
}


@pytest.mark.parametrize("case", PICKS)
def test_picks_exactly_the_frames_asked_for(kind: Kind, case: str, tmp_path: Path) -> None:
    picks, expected = PICKS[case]
    with kind.open(tmp_path, **picks) as source:
        frames = list(source)
    assert [kind.number(frame.image) for frame in frames] == list(expected)
    assert [frame.index for frame in frames] == list(expected)
    assert [frame.pts for frame in frames] == [index / RATE for index in expected]
    assert source.info.start == Fraction(str(picks.get("start", 0)))
    if source.info.length is not None:
        assert source.info.length == len(frames)


def test_close_from_another_thread_ends_the_reading(kind: Kind, tmp_path: Path) -> None:
    with kind.open(tmp_path) as source:
        reading = iter(source)
        assert [next(reading).index, next(reading).index] == [0, 1]
        closer = threading.Thread(target=source.close)
        closer.start()
        closer.join()
        assert list(reading) == []
        source.close()


def test_close_before_reading_gives_nothing(kind: Kind, tmp_path: Path) -> None:
    with kind.open(tmp_path) as source:
        source.close()
        source.close()
        assert list(source) == []


def test_it_is_read_once(kind: Kind, tmp_path: Path) -> None:
    with kind.open(tmp_path) as source:
        assert next(iter(source)).index == 0
        with pytest.raises(RuntimeError, match="read once"):
            iter(source)
