"""Stand-ins for the three protocols and the clock."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from bodystream.models.crop import Crop
from bodystream.pipeline.types import End, Frame, Header, Person, Result, SourceInfo, Span


class Clock:
    """A clock that moves by a millisecond at each look, and by what it is told."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        self.now_ns += 1_000_000
        return self.now_ns


def frame(index: int = 0, size: tuple[int, int] = (64, 48), rate: int = 25, value: int = 0) -> Frame:
    image = np.full((size[1], size[0], 3), value, np.uint8)
    return Frame(index, Fraction(index, rate), index, image, "fake")


def person(
    x: float = 32, y: float = 24, height: float = 30, *, id: int = 0, score: float = 0.9, pose: bool = True
) -> Person:
    """A person as a vertical box, with all landmarks on a small grid round the middle."""
    box = np.array([x - height / 4, y - height / 2, x + height / 4, y + height / 2], np.float32)
    if not pose:
        return Person(box, score, id)
    spread = np.stack([np.arange(33) % 3 - 1, np.arange(33) // 11 - 1], axis=1) * height / 4
    landmarks = np.concatenate([spread + np.array([x, y]), np.ones((33, 1))], axis=1).astype(np.float32)
    world = np.concatenate([spread / height, np.zeros((33, 1)), np.ones((33, 1))], axis=1).astype(np.float32)
    return Person(box, score, id, None, landmarks, world, Crop(x, y, height * 1.25))


class FakeSource:
    """Yields the given frames; raises `failure` after them."""

    def __init__(
        self,
        frames: Sequence[Frame],
        failure: Exception | None = None,
        live: bool = False,
        endless: bool = False,
    ) -> None:
        self.info = SourceInfo("fake", 64, 48, Fraction(25), live, len(frames))
        self.counts: Mapping[str, int] = {}
        self.closed = threading.Event()
        self._frames, self._failure, self._endless = frames, failure, endless

    def __iter__(self) -> Iterator[Frame]:
        for item in self._frames:
            if self.closed.is_set():
                return
            yield item
        if self._endless:
            self.closed.wait()
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        self.closed.set()


@dataclass
class FakeStage:
    """Calls `work`; counts resets."""

    work: Callable[[Frame, Sequence[Person]], Sequence[Person]] = lambda _frame, people: people
    name: str = "fake"
    needs: frozenset[str] = frozenset()
    gives: frozenset[str] = frozenset()
    models: tuple[()] = ()
    resets: int = 0

    def __call__(self, frame: Frame, people: Sequence[Person]) -> Sequence[Person]:
        return self.work(frame, people)

    def reset(self) -> None:
        self.resets += 1


@dataclass
class ListSink:
    """Keeps what it is given; raises at a given frame, at open or at close where told to."""

    fails_at: int | None = None
    fails_to_open: bool = False
    fails_to_close: bool = False
    needs_image: bool = False
    calls: list[str] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    end: End | None = None

    def open(self, header: Header) -> None:
        self.calls.append("open")
        if self.fails_to_open:
            raise OSError("cannot open")

    def write(self, frame: Frame | None, result: Result) -> Sequence[Span]:
        if result.index == self.fails_at:
            raise RuntimeError("sink broke")
        self.results.append(result)
        return [Span("write", result.index, 0, 0, 2_000_000)]

    def close(self, end: End | None) -> None:
        self.calls.append("close")
        self.end = end
        if self.fails_to_close:
            raise OSError("cannot close")
