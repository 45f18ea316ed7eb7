"""The one shape that every source has: facts, counts, and a generator of frames that is read once."""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from threading import Event, Lock

from bodystream.pipeline.types import Frame, SourceInfo


class Feed:
    """A Source made of its facts and a generator of frames.

    It is read once: a second iteration raises RuntimeError, because a camera cannot go back and a file
    is cheap to open again. After `close` it gives no more frames. What it holds open is released once: by the
    reading thread when its iteration ends, is abandoned or fails, or by `close` where none has begun.

    `frames` must look at `closed` wherever it may work or wait for long without giving a frame.
    """

    def __init__(
        self,
        info: SourceInfo,
        counts: Mapping[str, int],
        frames: Generator[Frame, None, None],
        release: Callable[[], None],
        closed: Event,
    ) -> None:
        self.info = info
        self.counts = counts
        self._frames = frames
        self._release = release
        self._closed = closed
        self._lock = Lock()
        self._asked = False
        self._reading = False

    def __iter__(self) -> Iterator[Frame]:
        if self._asked:
            raise RuntimeError(f"{self.info.name} is read once; open it again to read it again")
        self._asked = True
        return self._read()

    def _read(self) -> Iterator[Frame]:
        with self._lock:
            if self._closed.is_set():
                return
            self._reading = True
        try:
            with closing(self._frames):
                for frame in self._frames:
                    if self._closed.is_set():
                        return
                    yield frame
        finally:
            self._release()

    def close(self) -> None:
        """End the reading, from any thread; harmless when it has ended already."""
        with self._lock:
            idle = not self._reading and not self._closed.is_set()
            self._closed.set()
        if idle:
            self._release()
