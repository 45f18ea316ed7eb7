"""Network addresses: live streams with low latency and reconnection, and files that lie behind http."""

import re
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from threading import Event
from urllib.parse import urlsplit

import av
from av.codec.context import Flags
from av.container import InputContainer

from bodystream.errors import SourceError, SourceNotFound, SourceUnreadable, StreamLost
from bodystream.pipeline.source.decode import (
    DEFAULT_RATE,
    Shot,
    Tools,
    image_of,
    nominal_rate,
    shots,
    video_stream,
)
from bodystream.pipeline.source.feed import Feed
from bodystream.pipeline.source.file import read_container, reason
from bodystream.pipeline.source.pick import Pick, pick
from bodystream.pipeline.time import from_ns
from bodystream.pipeline.types import Frame, SourceInfo, Span

SCHEMES = frozenset({"http", "https", "rtmp", "rtmps", "rtsp", "rtsps", "srt", "udp"})
# A camera answers in a second or two; HLS brings a segment every 2 to 10 s.
TIMEOUT_S = 12.0
# TCP: a lost UDP packet smears the picture until the next keyframe. nobuffer: what was probed is not
# played from the buffer, so that the first picture is a fresh one.
LOW_LATENCY = {"rtsp_transport": "tcp", "fflags": "nobuffer"}
# No nobuffer for http: it throws away what was read to find the streams, the beginning of a file.
HTTP = {"reconnect": "1", "reconnect_delay_max": "4"}
# Half a minute in all: a camera's restart, a router's hiccup.
BACKOFF_S = (0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0)
SECRET = re.compile(r"(?i)((?:pass(?:word|wd)?|pwd|user(?:name)?|token|key|secret|auth)[=:])[^/&;,]*")


def open_address(
    address: str,
    want: Pick,
    clock: Callable[[], int],
    *,
    connect: Callable[[str], InputContainer] | None = None,
    wait: Callable[[float], bool] | None = None,
) -> Feed:
    """Open a network address.

    An http(s) address whose container states a duration is a file: every frame counts, and it ends. All else
    is live, and has no end of its own: where it breaks off or ends, it is opened again, after pauses of
    BACKOFF_S. `wait(seconds)` makes the pause and returns True where the source was closed meanwhile. After
    `close` a stream that has stalled ends within TIMEOUT_S.

    Raises SourceNotFound (nothing there), SourceUnreadable (no video), and StreamLost from the iteration.
    """
    name = public_name(address)
    opener = connect or _connect
    try:
        container = opener(address)
    except (av.error.FFmpegError, OSError) as error:
        # From None: FFmpeg's own message holds the address, and that may hold a password.
        raise _unopened(name, error) from None
    if urlsplit(address).scheme in ("http", "https") and container.duration is not None:
        return read_container(container, name, want, clock)
    return _live(container, name, lambda: opener(address), want, clock, wait)


def public_name(address: str) -> str:
    """The address as it may be shown: without user, password, query, and what else looks like a secret."""
    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")[2]
    path = SECRET.sub(r"\1…", parts.path)
    return f"{parts.scheme}://{host}{path}"


def _unopened(name: str, error: Exception) -> SourceError:
    if isinstance(error, ValueError):  # av.error.InvalidDataError: an answer, but no video
        return SourceUnreadable(f"{name} answers, but not with a video that FFmpeg opens: {reason(error)}.")
    return SourceNotFound(
        f"{name} cannot be opened: {reason(error)}. Check the address, the login and the network."
    )


def _connect(address: str) -> InputContainer:
    http = urlsplit(address).scheme in ("http", "https")
    return av.open(address, "r", options=HTTP if http else LOW_LATENCY, timeout=TIMEOUT_S)


def _live(
    container: InputContainer,
    name: str,
    reopen: Callable[[], InputContainer],
    want: Pick,
    clock: Callable[[], int],
    wait: Callable[[float], bool] | None,
) -> Feed:
    counts = {"decode errors": 0, "reconnects": 0}
    tools = Tools(clock, counts, Event())
    link = _Link(container, name, tools, reopen, wait or tools.closed.wait)
    try:
        rate = nominal_rate(video_stream(container, name))
        shots_ahead = link.shots()
        first = next(shots_ahead, None)
        if first is None:
            raise SourceUnreadable(f"{name} was closed before its first picture.")
    except BaseException:
        link.release()
        raise
    height, width = image_of(first).shape[:2]
    info = SourceInfo(
        name=name, width=width, height=height, rate=rate, live=True, length=None, start=want.start
    )
    return Feed(info, counts, _frames(first, shots_ahead, name, want, tools), link.release, tools.closed)


def _frames(
    first: Shot, rest: Generator[Shot, None, None], name: str, want: Pick, tools: Tools
) -> Generator[Frame, None, None]:
    with closing(rest):
        began, waited = tools.clock(), first.waited_ns
        for shot in pick(chain([first], rest), want):
            image = image_of(shot)
            wait_ns = shot.waited_ns - waited
            spans = (
                Span("capture", shot.index, began, 0, wait_ns),
                Span("decode", shot.index, began + wait_ns, 0, tools.clock() - began - wait_ns),
            )
            yield Frame(shot.index, shot.pts, shot.captured_ns, image, name, spans=spans)
            began, waited = tools.clock(), shot.waited_ns


class _Link:
    """A connection that is made again when it breaks; gives its shots as if it never had."""

    def __init__(
        self,
        container: InputContainer,
        name: str,
        tools: Tools,
        reopen: Callable[[], InputContainer],
        wait: Callable[[float], bool],
    ) -> None:
        self._container = container
        self._name = name
        self._tools = tools
        self._reopen = reopen
        self._wait = wait
        self._tries = 0  # since the last picture
        self._last: Shot | None = None

    def release(self) -> None:
        self._container.close()

    def shots(self) -> Generator[Shot, None, None]:
        """Shots with indices from 0 and media time from 0, through every break. Raises StreamLost."""
        while True:
            try:
                yield from self._connection()
                why = "it ended"
            except (av.error.FFmpegError, OSError) as error:  # SourceUnreadable too: nothing it sent decodes
                why = reason(error)
            if self._tools.closed.is_set() or not self._connect_again(why):
                return

    def _connection(self) -> Generator[Shot, None, None]:
        stream = video_stream(self._container, self._name)
        # Frame threads would hold back a picture each.
        stream.thread_type = "SLICE"
        stream.codec_context.flags |= Flags.low_delay
        period = 1 / (nominal_rate(stream) or DEFAULT_RATE)
        before, shift = self._last, None
        with closing(shots(self._container, stream, self._tools, name=self._name)) as decoding:
            for shot in decoding:
                if shift is None:
                    shift = self._shift(shot, before, period)
                joined = replace(
                    shot,
                    index=shot.index + (before.index + 1 if before else 0),
                    pts=shot.pts + shift,
                    waited_ns=shot.waited_ns + (before.waited_ns if before else 0),
                )
                self._tries, self._last = 0, joined
                yield joined

    @staticmethod
    def _shift(shot: Shot, before: Shot | None, period: Fraction) -> Fraction:
        """What to add to this connection's media time: the first picture is at 0, or as late as it came."""
        if before is None:
            return -shot.pts
        gap = from_ns(shot.captured_ns - before.captured_ns)
        return before.pts + max(gap, period) - shot.pts

    def _connect_again(self, why: str) -> bool:
        """False where the source was closed meanwhile. Raises StreamLost after the last pause."""
        self._container.close()
        while self._tries < len(BACKOFF_S):
            pause_s = BACKOFF_S[self._tries]
            self._tries += 1
            if self._wait(pause_s):
                return False
            try:
                self._container = self._reopen()
            except (av.error.FFmpegError, OSError) as error:
                why = reason(error)
                continue
            self._tools.counts["reconnects"] += 1
            return True
        frames = self._last.index + 1 if self._last else 0
        raise StreamLost(
            f"{self._name} was lost after {frames} frames ({why}) and did not come back in {len(BACKOFF_S)} "
            f"tries over {sum(BACKOFF_S):g} s. Check the camera and the network."
        )
