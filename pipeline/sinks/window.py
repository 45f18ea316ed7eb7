"""The live window: results drawn as they come, with keys to pause, step, quit and choose the layers."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import cv2

from bodystream.errors import SinkError
from bodystream.pipeline.draw import ALL, Hud, Layers, draw
from bodystream.pipeline.types import End, Frame, Header, Image, Result, Span

TOGGLES = {"m": "masks", "d": "surface", "s": "skeleton", "b": "boxes", "i": "ids", "h": "hud"}
HELP = (
    "space\tpause",
    "n or right\tone step",
    *(f"{key}\t{layer}" for key, layer in TOGGLES.items()),
    "?\tthis help",
    "q or Esc\tquit",
)
FIRST_SIZE = (1280, 720)  # px: fits most desktops
TRIAL_S = 20.0  # importing OpenCV takes a fraction of a second, on a loaded machine some
PAUSED_POLL_MS = 30  # a paused window answers keys and repaints this often


class Screen(Protocol):
    """A window of the desktop; called from the main thread only."""

    def show(self, image: Image) -> None: ...

    def poll(self, wait_ms: int) -> str:
        """Let the window live for `wait_ms` and return the key that was pressed: "a", "?", "esc", "right".

        "" where none was, "closed" where the user has closed the window.
        """
        ...

    def close(self) -> None: ...


class Window:
    """The sink behind `--show`. Must be written to from the main thread: OpenCV's rule.

    `stop` is called once, when the user quits; what is written after that is not shown. `stopped` tells a
    paused window that the run is over for another reason (Ctrl-C). `screen` makes the window, given a title
    and the picture's (width, height), and raises SinkError where there is no display.
    """

    needs_image = True

    def __init__(
        self,
        stop: Callable[[], None],
        stopped: Callable[[], bool] = lambda: False,
        *,
        layers: Layers = ALL,
        screen: Callable[[str, tuple[int, int]], Screen] | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._stop, self._stopped, self._clock = stop, stopped, clock
        self._make_screen = screen or open_screen
        self._screen: Screen | None = None
        self._view = _View(layers)
        self._hud = Hud()
        self._spans: tuple[Span, ...] = ()  # of the last frame, for the next one's HUD

    def open(self, header: Header) -> None:
        title = f"{header.source.name} - bodystream - ? for keys"
        self._screen = self._make_screen(title, (header.source.width, header.source.height))

    def write(self, frame: Frame | None, result: Result) -> Sequence[Span]:
        if frame is None or self._screen is None:
            raise SinkError("a window shows pictures; there is none in a results file, so leave out --show")
        if self._view.quit:
            return ()
        lines = self._hud(replace(result, spans=(*self._spans, *result.spans)))
        start_ns = self._clock()
        image = _picture(frame, result, self._view, lines)
        drawn_ns = self._clock()
        self._screen.show(image)
        key = self._screen.poll(0)
        shown_ns = self._clock()
        self._spans = (
            Span("draw", frame.index, start_ns, 0, drawn_ns - start_ns),
            Span("show", frame.index, drawn_ns, 0, shown_ns - drawn_ns),
        )
        self._view = _press(replace(self._view, step=False), key)
        while self._view.holds and not self._stopped():
            self._screen.show(_picture(frame, result, self._view, lines))
            self._view = _press(self._view, self._screen.poll(PAUSED_POLL_MS))
        if self._view.quit:
            self._stop()
        return self._spans

    def close(self, end: End | None) -> None:  # noqa: ARG002 - the protocol's
        if self._screen is not None:
            self._screen.close()
            self._screen = None


@dataclass(frozen=True, slots=True)
class _View:
    """What the user has chosen so far."""

    layers: Layers
    paused: bool = False
    step: bool = False  # leave the pause for one frame
    help: bool = False
    quit: bool = False

    @property
    def holds(self) -> bool:
        return self.paused and not self.step and not self.quit


def _press(view: _View, key: str) -> _View:
    if key in TOGGLES:
        toggled: dict[str, Any] = {TOGGLES[key]: not getattr(view.layers, TOGGLES[key])}
        return replace(view, layers=replace(view.layers, **toggled))
    match key:
        case " ":
            return replace(view, paused=not view.paused)
        case "n" | "right":
            return replace(view, paused=True, step=True)
        case "?":
            return replace(view, help=not view.help)
        case "q" | "esc" | "closed":
            return replace(view, quit=True)
    return view


def _picture(frame: Frame, result: Result, view: _View, hud: Sequence[str]) -> Image:
    lines = [*(hud if view.layers.hud else ()), *(("", *HELP) if view.help else ())]
    if view.holds:
        lines += ["", "paused"]
    return draw(frame.image, result, replace(view.layers, hud=True), lines)


def open_screen(title: str, size: tuple[int, int], environment: Mapping[str, str] = os.environ) -> Screen:
    """Open a window of OpenCV's for pictures of `size` (width, height); SinkError where there can be none."""
    if re.search(r"^ *GUI: +NONE", cv2.getBuildInformation(), re.MULTILINE):
        raise SinkError(
            "cannot show a window: the installed OpenCV was built without windows (opencv-python-headless); "
            "uninstall it and reinstall opencv-python, or leave out --show"
        )
    if sys.platform == "linux":
        _check_display(environment)
    return _CvScreen(title, size)


def _check_display(environment: Mapping[str, str]) -> None:
    instead = "leave out --show and write a video with -o, or run on a desktop or through ssh -X"
    if not environment.get("DISPLAY") and not environment.get("WAYLAND_DISPLAY"):
        raise SinkError(f"cannot show a window: neither DISPLAY nor WAYLAND_DISPLAY is set; {instead}")
    # Qt aborts the whole process where it cannot reach the display, so a process that may die tries first.
    trial = [sys.executable, "-c", "import cv2; cv2.namedWindow('bodystream')"]
    try:
        code = subprocess.run(trial, env=dict(environment), capture_output=True, timeout=TRIAL_S).returncode
    except subprocess.TimeoutExpired:
        code = None
    if code != 0:
        display = environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")
        raise SinkError(f"cannot show a window: OpenCV cannot open one on display {display}; {instead}")


class _CvScreen:
    """OpenCV's window, no larger at first than fits most desktops."""

    NAME = "bodystream"
    # As waitKeyEx gives them: Esc everywhere; the right arrow on X11 (GTK, Qt), Windows, macOS.
    KEYS: ClassVar[Mapping[int, str]] = {27: "esc", 65363: "right", 2555904: "right", 63235: "right"}

    def __init__(self, title: str, size: tuple[int, int]) -> None:
        width, height = max(1, size[0]), max(1, size[1])
        scale = min(1.0, FIRST_SIZE[0] / width, FIRST_SIZE[1] / height)
        cv2.namedWindow(self.NAME, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        cv2.resizeWindow(self.NAME, max(1, round(width * scale)), max(1, round(height * scale)))
        cv2.setWindowTitle(self.NAME, title)
        self._open = True

    def show(self, image: Image) -> None:
        if self._open:
            cv2.imshow(self.NAME, image)

    def poll(self, wait_ms: int) -> str:
        code = cv2.waitKeyEx(max(1, wait_ms))  # 0 would wait for ever
        self._open = self._open and self._visible()
        if not self._open:
            return "closed"
        return self.KEYS.get(code) or (chr(code).lower() if 32 <= code < 127 else "")

    def close(self) -> None:
        if self._open:
            self._open = False
            cv2.destroyWindow(self.NAME)
            cv2.waitKey(1)  # the desktop takes it away only when events are handled

    def _visible(self) -> bool:
        try:
            return cv2.getWindowProperty(self.NAME, cv2.WND_PROP_VISIBLE) >= 1
        except cv2.error:  # how Qt answers once its last window has been closed
            return False
