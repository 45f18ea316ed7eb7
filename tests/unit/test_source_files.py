"""Video files: times, turns, colours, damage."""

import gc
import io
import os
import threading
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from bodystream.errors import BodystreamError, SourceNotFound, SourceUnreadable, UsageError
from bodystream.pipeline.source import open_source
from bodystream.pipeline.source.decode import Shot, image_of, origin
from bodystream.pipeline.source.file import _Pipe
from bodystream.pipeline.types import Frame, SourceInfo
from tests.footage import cut_off, index_of, make_video, numbered


def read(path: Path, **options: Any) -> list[Frame]:
    return list(open_source(str(path), **options))


def info(path: Path) -> SourceInfo:
    source = open_source(str(path))
    source.close()
    return source.info


def numbers(frames: list[Frame]) -> list[int]:
    return [index_of(frame.image) for frame in frames]


def one_line(error: pytest.ExceptionInfo[BodystreamError]) -> str:
    text = str(error.value)
    assert "\n" not in text and len(text) > 20
    return text


# --- times


def test_ntsc_times_are_exact(tmp_path: Path) -> None:
    path = make_video(tmp_path / "ntsc.mp4", frames=40, rate=Fraction(30000, 1001))
    assert info(path).rate == Fraction(30000, 1001)
    assert [frame.pts for frame in read(path)] == [Fraction(1001 * index, 30000) for index in range(40)]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_variable_rate_keeps_every_time(tmp_path: Path, suffix: str) -> None:
    stamps = [0, 10, 50, 51, 200, 333]
    frames = read(make_video(tmp_path / f"uneven{suffix}", pts=stamps))
    assert [frame.pts for frame in frames] == [Fraction(stamp, 1000) for stamp in stamps]
    assert numbers(frames) == [0, 1, 2, 3, 4, 5]


def test_variable_rate_is_picked_by_time_and_counted_by_frame(tmp_path: Path) -> None:
    path = make_video(tmp_path / "uneven.mp4", pts=[0, 10, 50, 51, 200, 333], options={"g": "2"})
    frames = read(path, start=0.051, end=0.333)
    assert [(frame.index, frame.pts) for frame in frames] == [(3, Fraction(51, 1000)), (4, Fraction(1, 5))]
    assert numbers(frames) == [3, 4]


def test_uneven_times_state_their_average_rate(tmp_path: Path) -> None:
    stamps = [50 * index + 7 * (index % 3) for index in range(60)]
    rate = info(make_video(tmp_path / "uneven.mp4", pts=stamps)).rate
    assert rate == pytest.approx(20, rel=0.02)  # FFmpeg would guess the rate of which all are multiples


def test_media_time_begins_where_the_container_begins(tmp_path: Path) -> None:
    path = make_video(tmp_path / "clip.ts", frames=5)
    with av.open(str(path), "r") as container:
        assert origin(container) > 0  # FFmpeg leaves room for what must come before the first picture
    assert [frame.pts for frame in read(path)] == [Fraction(index, 25) for index in range(5)]


def test_pictures_that_begin_after_the_sound_stay_late(tmp_path: Path) -> None:
    path = make_video(tmp_path / "late.mkv", pts=[200, 240, 280], audio=True)
    frames = read(path)
    with av.open(str(path), "r") as container:
        sound = container.streams.audio[0].start_time
        assert sound is not None
        expected = Fraction(200 - sound, 1000)  # AAC is stamped ahead of zero, by the encoder's delay
    assert frames[0].pts == expected
    assert frames[2].pts - frames[0].pts == Fraction(80, 1000)


@pytest.mark.parametrize("start", [4, 8, 12, 13])
def test_open_groups_of_pictures_count_right(tmp_path: Path, start: int) -> None:
    # After an open group's keyframe come pictures that are shown before it and lean on the group before.
    options = {"x265-params": "keyint=8:min-keyint=8:open-gop=1:bframes=3:log-level=none"}
    path = make_video(tmp_path / "open.mp4", frames=24, codec="libx265", options=options)
    frames = read(path, start=Fraction(start, 25), max_frames=4)
    assert numbers(frames) == [frame.index for frame in frames] == list(range(start, start + 4))


# --- pictures


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_the_display_matrix_is_applied(tmp_path: Path, rotation: int, mirrored: bool) -> None:
    path = make_video(tmp_path / "turned.mp4", frames=3, size=(128, 64), rotation=rotation, mirrored=mirrored)
    frames = read(path)
    assert (info(path).width, info(path).height) == (128, 64)
    assert numbers(frames) == [0, 1, 2]
    for frame in frames:  # red on the left, blue on the right, below the number
        assert np.abs(frame.image.astype(int) - numbered(frame.index, (128, 64))).mean() < 8


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_turned_as_opencv_turns(tmp_path: Path, rotation: int) -> None:
    path = make_video(tmp_path / "turned.mp4", frames=1, size=(128, 64), rotation=rotation)
    capture = cv2.VideoCapture(str(path))
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    _, expected = capture.read()
    capture.release()
    assert np.abs(read(path)[0].image.astype(int) - expected).max() <= 3


@pytest.mark.parametrize(
    ("size", "codec", "pix_fmt"),
    [
        ((131, 97), "libx264", "yuv444p"),
        ((639, 359), "ffv1", "yuv420p"),
        ((64, 48), "libx264", "yuv420p10le"),
        ((64, 48), "ffv1", "gray"),
        ((64, 48), "ffv1", "bgra"),
        ((64, 48), "ffv1", "yuva444p"),
        ((64, 48), "mjpeg", "yuvj420p"),
    ],
)
def test_odd_sizes_and_pixel_formats(tmp_path: Path, size: tuple[int, int], codec: str, pix_fmt: str) -> None:
    path = make_video(tmp_path / "clip.mkv", frames=3, size=size, codec=codec, pix_fmt=pix_fmt)
    frames = read(path)
    assert numbers(frames) == [0, 1, 2]
    assert all(frame.image.shape == (size[1], size[0], 3) for frame in frames)


@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize(
    ("matrix", "red", "blue"),
    [(1, 0.2126, 0.0722), (6, 0.299, 0.114), (2, 0.299, 0.114), (9, 0.2627, 0.0593)],
    ids=["BT.709", "BT.601", "unstated is BT.601", "BT.2020"],
)
def test_colours_follow_matrix_and_range(matrix: int, red: float, blue: float, full: bool) -> None:
    picture = av.VideoFrame(16, 16, "yuv420p")
    for plane, value in zip(picture.planes, (120, 90, 180), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    picture.colorspace, picture.color_range = matrix, 2 if full else 1
    # ITU-R BT.601 / BT.709, section 3: Y of 16..235 and Cb, Cr of 16..240 where limited.
    y, u, v = (120 / 255, -38 / 255, 52 / 255) if full else (104 / 219, -38 / 224, 52 / 224)
    r, b = y + 2 * (1 - red) * v, y + 2 * (1 - blue) * u
    g = (y - red * r - blue * b) / (1 - red - blue)
    assert image_of(Shot(0, Fraction(0), 0, 0, picture, None))[8, 8] == pytest.approx(
        255 * np.array([b, g, r]), abs=2
    )


# --- memory and clocks


def test_a_picture_is_freed_with_its_frame(tmp_path: Path) -> None:
    source = open_source(str(make_video(tmp_path / "clip.mp4", frames=60, rotation=90)))
    gc.collect()
    gc.disable()
    try:
        for _ in source:
            pass
        kept = sum(type(thing) is av.VideoFrame for thing in gc.get_objects())
    finally:
        gc.enable()
    assert kept < 5  # a cycle round each would keep all sixty until the collector comes


def test_decode_spans_cover_the_time_from_asking_to_giving(tmp_path: Path) -> None:
    ticks = iter(range(0, 10**9, 1000))
    source = open_source(str(make_video(tmp_path / "clip.mp4", frames=5)), clock=lambda: next(ticks))
    frames = list(source)
    for before, after in pairwise(frames):
        assert after.spans[0].start_ns > before.spans[0].start_ns + before.spans[0].host_ns
        assert before.spans[0].host_ns > 0
    assert all(frame.captured_ns <= frame.spans[0].start_ns + frame.spans[0].host_ns for frame in frames)


# --- faults


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match="does not exist") as error:
        open_source(str(tmp_path / "nothing.mp4"))
    one_line(error)


@pytest.mark.parametrize("name", ["text.mp4", "text.txt", "text.mkv"])
def test_text_is_no_video(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("not a video\n" * 100)
    with pytest.raises(SourceUnreadable, match=name) as error:
        open_source(str(tmp_path / name))
    one_line(error)


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(SourceUnreadable, match=r"empty\.mp4") as error:
        open_source(str(tmp_path / "empty.mp4"))
    one_line(error)


def test_sound_alone(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "song.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    with pytest.raises(SourceUnreadable, match="no video: found audio") as error:
        open_source(str(tmp_path / "song.wav"))
    one_line(error)


def test_mp4_cut_off_before_its_index(tmp_path: Path) -> None:
    whole = make_video(tmp_path / "whole.mp4", frames=30)
    with pytest.raises(SourceUnreadable, match=r"cut\.mp4 (holds nothing|is not a video)") as error:
        open_source(str(cut_off(whole, tmp_path / "cut.mp4", 0.6)))
    one_line(error)


def test_mp4_cut_off_behind_its_index_gives_what_is_there(tmp_path: Path) -> None:
    whole = make_video(tmp_path / "whole.mp4", frames=60, size=(320, 240), muxer={"movflags": "faststart"})
    source = open_source(str(cut_off(whole, tmp_path / "cut.mp4", 0.7)))
    frames = list(source)
    assert 0 < len(frames) < 60
    assert numbers(frames) == list(range(len(frames)))
    missing = source.counts["frames missing"]
    assert 20 <= missing < 60
    assert (
        60 - missing - 16 <= len(frames) <= 60 - missing + 1
    )  # one a decoder thread may be lost with the last
    assert source.info.notes == (f"the file was cut off: {missing} of its 60 frames are not in it",)


def test_damage_in_the_middle_is_survived_and_counted(tmp_path: Path) -> None:
    options = {"g": "5", "bf": "0"}
    data = bytearray(
        make_video(tmp_path / "clip.avi", frames=60, size=(320, 240), options=options).read_bytes()
    )
    at = data.find(b"movi")
    middle = at + (data.rfind(b"idx1") - at) // 2
    data[middle : middle + 3000] = bytes(3000)
    (tmp_path / "damaged.avi").write_bytes(bytes(data))
    source = open_source(str(tmp_path / "damaged.avi"))
    found = numbers(list(source))
    assert source.counts["decode errors"] > 0
    assert found[:3] == [0, 1, 2] and found[-3:] == [57, 58, 59]


def test_nothing_decodes(tmp_path: Path) -> None:
    data = bytearray(make_video(tmp_path / "clip.mp4", frames=20, size=(320, 240)).read_bytes())
    begin, end = data.find(b"mdat") + 4, data.find(b"moov") - 4
    data[begin:end] = bytes(byte ^ 0x5A for byte in data[begin:end])
    (tmp_path / "noise.mp4").write_bytes(bytes(data))
    with pytest.raises(SourceUnreadable, match=r"noise\.mp4 is a h264 video, but no picture") as error:
        open_source(str(tmp_path / "noise.mp4"))
    one_line(error)


def test_a_video_of_no_frames_gives_no_frames(tmp_path: Path) -> None:
    path = tmp_path / "none.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    source = open_source(str(path))
    assert (source.info.width, source.info.height) == (64, 48)
    assert list(source) == []


def test_a_start_behind_the_end_is_refused(tmp_path: Path) -> None:
    path = make_video(tmp_path / "clip.mp4", frames=25)
    with pytest.raises(UsageError, match=r"--start 5 is behind the end of clip\.mp4, 1\.00 s long") as error:
        open_source(str(path), start=5)
    one_line(error)


@pytest.mark.parametrize(
    "options",
    [{"start": -1}, {"start": 2, "end": 1}, {"stride": 0}, {"max_frames": 0}, {"fps": 25}, {"fps": "fast"},
     {"size": (640, 480)}, {"fourcc": "MJPG"}],
)  # fmt: skip
def test_options_that_cannot_be_obeyed(tmp_path: Path, options: dict[str, Any]) -> None:
    path = make_video(tmp_path / "clip.mp4", frames=1)
    with pytest.raises(UsageError) as error:
        open_source(str(path), **options)
    one_line(error)


# --- pipes


def test_mp4_with_its_index_behind_cannot_come_from_a_pipe(tmp_path: Path) -> None:
    path = make_video(tmp_path / "clip.mp4", frames=60, size=(640, 480), codec="mjpeg", pix_fmt="yuvj420p")
    data = path.read_bytes()
    assert len(data) > 200_000  # more than FFmpeg keeps to look back at
    with pytest.raises(SourceUnreadable, match=r"stdin .*faststart") as error:
        list(open_source("-", stdin=Unseekable(data)))
    one_line(error)


def test_text_from_a_pipe() -> None:
    with pytest.raises(SourceUnreadable, match="stdin") as error:
        open_source("-", stdin=Unseekable(b"hello\n" * 100))
    one_line(error)


class Unseekable(io.BytesIO):
    def seekable(self) -> bool:
        return False

    def seek(self, *_: object) -> int:
        raise io.UnsupportedOperation("seek")


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_closing_wakes_a_pipe_that_gives_nothing() -> None:
    reader, writer = os.pipe()
    closed, got = threading.Event(), list[bytes]()
    with os.fdopen(reader, "rb") as stream, os.fdopen(writer, "wb"):
        thread = in_thread(lambda: got.append(_Pipe(stream, closed).read(100)))
        closed.set()
        thread.join(timeout=10)
        assert got == [b""]
