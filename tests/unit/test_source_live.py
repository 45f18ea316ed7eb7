"""Cameras and streams: what is told of them, how they break, how they come back."""

import errno
import threading
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import cv2
import pytest

from bodystream.errors import SourceNotFound, SourceUnreadable, StreamLost, UsageError
from bodystream.pipeline.source import open_source
from bodystream.pipeline.source.camera import FAILED_GRABS, Mode, open_camera, opened_note
from bodystream.pipeline.source.feed import Feed
from bodystream.pipeline.source.pick import Pick
from bodystream.pipeline.source.stream import BACKOFF_S, open_address, public_name
from tests.cameras import Camera, Clock
from tests.footage import index_of, make_video

UNASKED = Mode()
GOOD = [True] * 12  # what the rate is measured on


# --- cameras


def camera_feed(
    camera: Camera, clock: Clock, asked: Mode = UNASKED, waits: list[float] | None = None
) -> Feed:
    def wait(seconds: float) -> bool:
        if waits is not None:
            waits.append(seconds)
        return False

    return open_camera(0, asked, Pick(), clock, capture=lambda number: camera, wait=wait)


def test_a_camera_in_another_mode_says_so_and_what_to_try() -> None:
    asked = Mode((1280, 720), Fraction(30), "MJPG")
    assert opened_note("camera 0", Mode((640, 480), Fraction(15, 2), "YUY2"), asked) == (
        "camera 0 opened as YUY2 640×480 at 7.5 fps; asked for MJPG 1280×720 at 30 fps. "
        "Try --fourcc MJPG or another --size."
    )


@pytest.mark.parametrize(
    ("asked", "given", "differs"),
    [
        (Mode(), Mode((640, 480), Fraction(30), "YUY2"), False),
        (Mode(rate=Fraction(30)), Mode((640, 480), Fraction(29), None), False),
        (Mode(rate=Fraction(30)), Mode((640, 480), Fraction(20), None), True),
        (Mode(size=(1280, 720)), Mode((640, 480), None, None), True),
        (Mode(fourcc="MJPG"), Mode((640, 480), Fraction(30), "YUY2"), True),
    ],
)
def test_only_a_difference_is_one(asked: Mode, given: Mode, differs: bool) -> None:
    assert ("asked for" in opened_note("camera 1", given, asked)) is differs


def test_size_rate_and_format_are_asked_for_read_back_and_measured() -> None:
    clock = Clock()
    camera = Camera(clock, GOOD, size=(64, 48), period_ns=1_000_000_000 // 15, fourcc="YUYV")
    source = camera_feed(camera, clock, Mode((1280, 720), Fraction(30), "MJPG"))
    assert [prop for prop, _ in camera.asked] == [
        cv2.CAP_PROP_FOURCC,
        cv2.CAP_PROP_FRAME_WIDTH,
        cv2.CAP_PROP_FRAME_HEIGHT,
        cv2.CAP_PROP_FPS,
        cv2.CAP_PROP_BUFFERSIZE,
    ]
    assert source.info.notes[0].startswith(
        "camera 0 opened as YUYV 64×48 at 15 fps; asked for MJPG 1280×720 at 30 fps"
    )
    assert (source.info.width, source.info.height, source.info.rate) == (64, 48, 15)


def test_frames_carry_capture_and_decode_times() -> None:
    clock = Clock()
    source = camera_feed(Camera(clock, [*GOOD, True, True]), clock)
    reading = iter(source)
    first, second = next(reading), next(reading)
    assert (first.pts, second.pts) == (0, Fraction(1, 25))
    assert second.captured_ns - first.captured_ns == 40_000_000
    assert [(span.stage, span.host_ns) for span in second.spans] == [("capture", 40_000_000), ("decode", 0)]


def test_an_absent_camera_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    camera = Camera(Clock(), [], present=False)
    with pytest.raises(SourceNotFound, match="camera 0 cannot be opened") as error:
        camera_feed(camera, Clock())
    assert "\n" not in str(error.value)
    assert camera.released == 1
    with pytest.raises(SourceNotFound, match="camera 93"):  # OpenCV's own backends
        open_source("93")
    assert capfd.readouterr() == ("", "")


def test_a_camera_without_pictures() -> None:
    clock = Clock()
    camera = Camera(clock, [False] * 99)
    with pytest.raises(SourceUnreadable, match="gives no picture"):
        camera_feed(camera, clock)
    assert camera.released == 1


def test_a_short_drop_out_is_counted_and_an_unplugged_camera_ends() -> None:
    clock, waits = Clock(), list[float]()
    camera = Camera(clock, [*GOOD, True, False, False, True])
    source = camera_feed(camera, clock, waits=waits)
    reading = iter(source)
    assert [next(reading).index, next(reading).index] == [0, 1]
    with pytest.raises(StreamLost, match="camera 0 stopped giving pictures after 2"):
        next(reading)
    assert source.counts["failed grabs"] == 2 + FAILED_GRABS
    assert len(waits) == 2 + FAILED_GRABS - 1
    assert camera.released == 1


def test_the_camera_is_released_once_when_the_reading_is_abandoned() -> None:
    clock = Clock()
    camera = Camera(clock, [True] * 50)
    source = camera_feed(camera, clock)
    reading = iter(source)
    next(reading)
    del reading
    assert camera.released == 1
    source.close()
    assert camera.released == 1


def test_a_fourcc_has_four_letters() -> None:
    with pytest.raises(UsageError, match="--fourcc JPEG2"):
        open_source("0", fourcc="JPEG2")


# --- streams


class Line:
    """Opens one file after the other in the place of an address; an exception is raised instead."""

    def __init__(self, *answers: Path | Exception) -> None:
        self._answers = list(answers)

    def __call__(self, address: str) -> av.container.InputContainer:
        answer = self._answers.pop(0) if self._answers else refused()
        if isinstance(answer, Exception):
            raise answer
        return av.open(str(answer), "r")


def refused() -> Exception:
    return av.error.ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused", "rtsp://me:secret@cam/1")


class Pauses:
    """Remembers how long it was asked to wait, and lets the clock pass."""

    def __init__(self, clock: Clock, closed_after: int = 99) -> None:
        self.seconds: list[float] = []
        self._clock = clock
        self._closed_after = closed_after

    def __call__(self, seconds: float) -> bool:
        self.seconds.append(seconds)
        self._clock.ns += int(seconds * 1e9)
        return len(self.seconds) > self._closed_after


ADDRESS = "rtsp://me:secret@cam:554/live?token=abc"


def test_a_broken_stream_comes_back_and_time_goes_on(tmp_path: Path) -> None:
    clip = make_video(tmp_path / "live.ts", frames=5)
    clock = Clock()
    pauses = Pauses(clock, closed_after=3)
    line = Line(clip, refused(), refused(), clip)
    source = open_address(ADDRESS, Pick(), clock, connect=line, wait=pauses)
    frames = list(source)
    assert [frame.index for frame in frames] == list(range(10))
    assert [index_of(frame.image) for frame in frames] == [0, 1, 2, 3, 4] * 2
    assert source.counts["reconnects"] == 1
    assert pauses.seconds == [0.5, 1.0, 2.0, 0.5]  # a picture makes the next break a first one
    assert frames[5].pts - frames[4].pts == Fraction(7, 2)  # the break lasted as long as it lasted
    assert frames[9].pts - frames[5].pts == Fraction(4, 25)
    assert source.info.live and source.info.length is None
    assert all(span.host_ns >= 0 for frame in frames for span in frame.spans)


def test_a_stream_that_stays_away_is_lost(tmp_path: Path) -> None:
    clock = Clock()
    pauses = Pauses(clock)
    line = Line(make_video(tmp_path / "live.mkv", frames=3))
    source = open_address(ADDRESS, Pick(), clock, connect=line, wait=pauses)
    reading = iter(source)
    assert [next(reading).index for _ in range(3)] == [0, 1, 2]
    with pytest.raises(StreamLost) as error:
        next(reading)
    assert str(error.value) == (
        "rtsp://cam:554/live was lost after 3 frames (connection refused) and did not come back in 7 tries "
        "over 31.5 s. Check the camera and the network."
    )
    assert tuple(pauses.seconds) == BACKOFF_S
    assert source.counts["reconnects"] == 0


def test_connections_without_a_picture_count_as_failed_tries(tmp_path: Path) -> None:
    clip, noise = make_video(tmp_path / "live.mkv", frames=3), tmp_path / "noise.mp4"
    data = bytearray(make_video(tmp_path / "clip.mp4", frames=20, size=(320, 240)).read_bytes())
    begin, end = data.find(b"mdat") + 4, data.find(b"moov") - 4
    noise.write_bytes(data[:begin] + bytes(end - begin) + data[end:])
    clock = Clock()
    source = open_address(ADDRESS, Pick(), clock, connect=Line(clip, *[noise] * 20), wait=Pauses(clock))
    with pytest.raises(StreamLost, match="7 tries"):
        list(source)
    assert source.counts["reconnects"] == 7


def test_closing_wakes_the_pause(tmp_path: Path) -> None:
    line = Line(make_video(tmp_path / "live.mkv", frames=3))
    source = open_address(
        ADDRESS, Pick(), Clock(), connect=line
    )  # its own, real wait: half a second and more
    got = threading.Event()

    def read() -> None:
        for frame in source:
            if frame.index == 2:
                source.close()
        got.set()

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    assert got.wait(timeout=20)
    thread.join()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refused(), SourceNotFound),
        (av.error.InvalidDataError(1, "Invalid data found when processing input", ADDRESS), SourceUnreadable),
    ],
)
def test_an_address_that_does_not_open_keeps_its_secrets(answer: Exception, error: type[Exception]) -> None:
    with pytest.raises(error) as raised:
        open_address(ADDRESS, Pick(), Clock(), connect=Line(answer))
    assert str(raised.value).startswith("rtsp://cam:554/live ")
    assert raised.value.__cause__ is None and raised.value.__suppress_context__
    assert "secret" not in str(raised.value) and "abc" not in str(raised.value)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://me:p@ss@cam:554/1", "rtsp://cam:554/1"),
        ("http://cam/video.mjpg?user=me&pwd=x#y", "http://cam/video.mjpg"),
        ("rtsp://cam/user=me&password=x&channel=1", "rtsp://cam/user=…&password=…&channel=1"),
        ("https://host/a/clip.mp4", "https://host/a/clip.mp4"),
    ],
)
def test_public_names(address: str, shown: str) -> None:
    assert public_name(address) == shown


def test_an_unknown_kind_of_address() -> None:
    with pytest.raises(UsageError, match="gopher; known are http, https, rtmp") as error:
        open_source("gopher://me:secret@host/clip")
    assert "secret" not in str(error.value)


class Endless(BaseHTTPRequestHandler):
    """Sends a transport stream without saying how long it is, as a camera does."""

    data = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "video/mp2t")
        self.end_headers()
        self.wfile.write(self.data)

    def log_message(self, *_: object) -> None:
        pass


def test_http_without_a_duration_is_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Endless, "data", make_video(tmp_path / "live.ts", frames=30).read_bytes())
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endless)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        source = open_source(f"http://127.0.0.1:{server.server_port}/live", max_frames=20)
        assert source.info.live and source.info.length is None
        assert [index_of(frame.image) for frame in source] == list(range(20))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_http_not_found() -> None:
    class Nothing(Endless):
        def do_GET(self) -> None:
            self.send_error(404)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Nothing)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        with pytest.raises(SourceNotFound, match="404"):
            open_source(f"http://127.0.0.1:{server.server_port}/clip.mp4")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
