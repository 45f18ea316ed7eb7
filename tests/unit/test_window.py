import shutil
import subprocess
import sys
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import pytest

from bodystream.errors import SinkError
from bodystream.pipeline.draw import Layers
from bodystream.pipeline.sinks import window
from bodystream.pipeline.sinks.window import Window
from bodystream.pipeline.types import (
    Dense,
    Frame,
    Header,
    Image,
    Person,
    Result,
    Silhouette,
    SourceInfo,
    Span,
)

WIDTH, HEIGHT = 320, 240


class FakeScreen:
    """Presses the given keys, one a poll, and keeps what was shown."""

    def __init__(self, *keys: str) -> None:
        self.keys = list(keys)
        self.shown: list[Image] = []
        self.waits: list[int] = []
        self.closed = 0

    def show(self, image: Image) -> None:
        self.shown.append(image)

    def poll(self, wait_ms: int) -> str:
        self.waits.append(wait_ms)
        return self.keys.pop(0) if self.keys else ""

    def close(self) -> None:
        self.closed += 1


class Stop:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1


class Ticks:
    """A clock that moves on by a millisecond at each look."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        self.now_ns += 1_000_000
        return self.now_ns


def header() -> Header:
    return Header(SourceInfo("dance.mp4", WIDTH, HEIGHT, Fraction(30), False, 3), (), {}, ())


def frame(index: int) -> Frame:
    return Frame(
        index, Fraction(index, 30), 0, np.full((HEIGHT, WIDTH, 3), 50 + index, np.uint8), "dance.mp4"
    )


def result(index: int) -> Result:
    box = np.array([120, 60, 200, 220], np.float32)
    landmarks = np.full((33, 3), 1, np.float32)
    landmarks[:, 0], landmarks[:, 1] = np.linspace(130, 190, 33), np.linspace(70, 210, 33)
    spans = (Span("detect", index, index * 40_000_000, 0, 12_000_000),)
    whole = np.ones((150, 35), np.uint8)
    dense = Dense(whole, np.zeros((2, 150, 35), np.float32), whole, np.array([[1.0, 0, 160], [0, 1, 65]]))
    person = Person(box, 0.9, 1, None, landmarks, dense=dense)
    made = Result(index, Fraction(index, 30), (WIDTH, HEIGHT), (person,), spans)
    made.__dict__["silhouettes"] = (Silhouette(160, 65, whole.astype(bool)),)
    return made


def opened(screen: FakeScreen, stop: Stop | None = None, **more: Any) -> Window:
    shown = Window(stop or Stop(), screen=lambda title, size: screen, clock=Ticks(), **more)
    shown.open(header())
    return shown


def write(shown: Window, count: int) -> None:
    for i in range(count):
        shown.write(frame(i), result(i))


def test_every_frame_is_shown_once_and_timed() -> None:
    screen = FakeScreen()
    shown = opened(screen)
    spans = [shown.write(frame(i), result(i)) for i in range(3)]
    assert len(screen.shown) == 3
    assert [tuple(image[-1, -1]) for image in screen.shown] == [(50,) * 3, (51,) * 3, (52,) * 3]
    assert [(s.stage, s.frame, s.host_ns) for s in spans[2]] == [
        ("draw", 2, 1_000_000),
        ("show", 2, 1_000_000),
    ]


def test_the_screen_is_told_the_source_and_its_size() -> None:
    told: list[tuple[str, tuple[int, int]]] = []

    def make(title: str, size: tuple[int, int]) -> FakeScreen:
        told.append((title, size))
        return FakeScreen()

    Window(Stop(), screen=make).open(header())
    assert told[0][0].startswith("dance.mp4") and told[0][1] == (WIDTH, HEIGHT)


@pytest.mark.parametrize("key", "msbih")
def test_each_layer_goes_and_comes_back(key: str) -> None:
    screen = FakeScreen(key, "", key, "")
    write(opened(screen), 4)
    background = [np.subtract(image, 50 + i, dtype=np.int16) for i, image in enumerate(screen.shown)]
    painted = [int((image != 0).any(axis=2).sum()) for image in background]
    assert painted[1] == painted[2] < painted[3]


def test_the_body_surface_goes_and_comes_back() -> None:
    screen = FakeScreen("d", "", "d", "")
    shown = opened(screen, layers=Layers(skeleton=False, hud=False))
    for _ in range(4):
        shown.write(frame(0), result(0))
    first, without, still_without, again = (image[140, 180].tolist() for image in screen.shown)
    assert first == again != without == still_without


def test_pause_holds_the_frame_and_stays_responsive() -> None:
    screen = FakeScreen(" ", "", "m", "", " ")
    shown = opened(screen)
    write(shown, 1)
    assert screen.keys == []  # it came back only after the second press of space
    assert len(screen.shown) == 5 and all(image[-1, -1, 0] == 50 for image in screen.shown)
    assert (screen.shown[3] != screen.shown[2]).any()  # the mask went while it was paused
    assert min(screen.waits[1:]) > 0  # no busy loop
    write(shown, 1)
    assert len(screen.shown) == 6


@pytest.mark.parametrize("key", ["n", "right"])
def test_a_step_shows_one_frame_and_pauses_again(key: str) -> None:
    screen = FakeScreen(" ", key, "", key, "", " ")
    shown = opened(screen)
    write(shown, 1)
    assert len(screen.keys) == 4
    write(shown, 1)
    assert len(screen.keys) == 2
    write(shown, 1)
    assert screen.keys == []


def test_a_step_out_of_play_pauses_at_the_next_frame() -> None:
    screen = FakeScreen("n", "", "", " ")
    shown = opened(screen)
    write(shown, 1)
    assert len(screen.shown) == 1
    write(shown, 1)
    assert screen.keys == []


def test_pause_is_not_counted_as_time_of_drawing() -> None:
    screen = FakeScreen(" ", *[""] * 100, " ")
    spans = opened(screen).write(frame(0), result(0))
    assert [span.host_ns for span in spans] == [1_000_000, 1_000_000]


@pytest.mark.parametrize("keys", [["q"], ["esc"], ["closed"], [" ", "", "q"], [" ", "closed"]])
def test_quit_stops_the_run_once_and_shows_no_more(keys: list[str]) -> None:
    screen, stop = FakeScreen(*keys), Stop()
    shown = opened(screen, stop)
    write(shown, 1)
    before = len(screen.shown)
    write(shown, 3)
    assert stop.calls == 1
    assert len(screen.shown) == before


def test_a_paused_window_lets_go_when_the_run_is_stopped_elsewhere() -> None:
    screen = FakeScreen(" ")
    answers = iter([False, False, True])
    write(opened(screen, stopped=lambda: next(answers)), 1)
    assert len(screen.shown) == 3


def test_help_is_shown_even_without_the_hud() -> None:
    screen = FakeScreen("h", "?", "", "?", "")
    write(opened(screen), 5)
    changed = [
        int((np.subtract(image[:100, :100], 50 + i, dtype=np.int16) != 0).sum())
        for i, image in enumerate(screen.shown)
    ]
    assert changed[1] == 0 and changed[2] > 1000 and changed[4] == 0


def test_unknown_keys_do_nothing() -> None:
    plain, odd = FakeScreen(), FakeScreen("x", "", "7")
    write(opened(plain), 3)
    write(opened(odd), 3)
    assert all((a == b).all() for a, b in zip(plain.shown, odd.shown, strict=True))


def test_close_twice_and_close_unopened() -> None:
    screen = FakeScreen()
    shown = opened(screen)
    shown.close(None)
    shown.close(None)
    assert screen.closed == 1
    Window(Stop(), screen=lambda title, size: screen).close(None)


def test_a_results_file_has_no_pictures_to_show() -> None:
    with pytest.raises(SinkError, match="leave out --show"):
        opened(FakeScreen()).write(None, result(0))


def test_a_headless_opencv_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:                           NONE\n")
    with pytest.raises(SinkError, match="opencv-python-headless") as raised:
        window.open_screen("title", (64, 48), {"DISPLAY": ":0"})
    assert "\n" not in str(raised.value)


on_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="Linux alone tells displays by environment variables"
)
has_windows = pytest.mark.skipif(
    "GUI:                           NONE" in cv2.getBuildInformation(), reason="headless OpenCV"
)


@on_linux
@has_windows
@pytest.mark.parametrize(
    ("environment", "told"),
    [({}, "neither DISPLAY nor WAYLAND_DISPLAY"), ({"DISPLAY": ":987"}, "display :987")],
)
def test_no_display_is_one_clear_line_and_no_abort(environment: dict[str, str], told: str) -> None:
    with pytest.raises(SinkError, match=told) as raised:
        window.open_screen("title", (64, 48), environment)
    assert "\n" not in str(raised.value) and "--show" in str(raised.value)


SESSION = """
import numpy as np
from bodystream.pipeline.sinks.window import open_screen
screen = open_screen("dänce.mp4", (4000, 3000))
screen.show(np.full((3000, 4000, 3), 200, np.uint8))
assert [screen.poll(1) for _ in range(3)] == ["", "", ""]
screen.close()
screen.close()
assert screen.poll(1) == "closed"
"""


@on_linux
@has_windows
@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="Xvfb is not installed")
def test_a_real_window_opens_and_closes() -> None:
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", "1"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert server.stdout is not None
        display = f":{server.stdout.readline().strip()}"
        paths = {"PYTHONPATH": ":".join(path for path in sys.path if path), "DISPLAY": display}
        done = subprocess.run(
            [sys.executable, "-c", SESSION], env=paths, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
    finally:
        server.terminate()
        server.communicate()
