"""Which frames of a source are wanted: --start, --end, --stride, --max-frames."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol, TypeVar

from bodystream.errors import UsageError
from bodystream.pipeline.time import exact


@dataclass(frozen=True, slots=True)
class Pick:
    """Frames with start <= pts < end, every `stride`-th of them from the first on, at most `max_frames`."""

    start: Fraction = Fraction(0)  # seconds of media time
    end: Fraction | None = None
    stride: int = 1
    max_frames: int | None = None

    @property
    def whole(self) -> bool:
        """Nothing is cut off by time."""
        return self.start == 0 and self.end is None


def make_pick(
    start: float | Fraction | None, end: float | Fraction | None, stride: int, max_frames: int | None
) -> Pick:
    """Check the user's wishes. Raises UsageError where no frame could satisfy them."""
    first = exact(start) if start is not None else Fraction(0)
    last = exact(end) if end is not None else None
    if first < 0:
        raise UsageError(f"--start is {start}; media time begins at 0. Give seconds from the beginning.")
    if last is not None and last <= first:
        raise UsageError(f"--end {end} is not after --start {start or 0}. Give a later --end.")
    if stride < 1:
        raise UsageError(f"--stride is {stride}; expected 1 (every frame) or more.")
    if max_frames is not None and max_frames < 1:
        raise UsageError(f"--max-frames is {max_frames}; expected 1 or more.")
    return Pick(first, last, stride, max_frames)


class Timed(Protocol):
    """Anything with a place in the source."""

    @property
    def index(self) -> int: ...
    @property
    def pts(self) -> Fraction: ...


T = TypeVar("T", bound=Timed)


def pick(items: Iterable[T], want: Pick) -> Iterator[T]:
    """The wanted ones among `items`, which come in order; reads no further than needed."""
    given, first = 0, None
    for item in items:
        if want.end is not None and item.pts >= want.end:
            return
        if item.pts < want.start:
            continue
        if first is None:
            first = item.index
        if (item.index - first) % want.stride:
            continue
        yield item
        given += 1
        if given == want.max_frames:
            return


def picked_length(frames: int | None, want: Pick) -> int | None:
    """How many of `frames` a whole reading gives; None where that depends on their times."""
    if frames is None or not want.whole:
        return None
    strided = -(-frames // want.stride)
    return strided if want.max_frames is None else min(strided, want.max_frames)
