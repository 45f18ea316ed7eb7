"""The bounded queue between a source and the pipeline, and between the pipeline and a sink."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Generic, TypeVar

T = TypeVar("T")


class Policy(StrEnum):
    """What happens when the next item comes before the last was taken."""

    EVERY = "every"  # the giver waits: nothing is lost (files)
    LATEST = "latest"  # the older item is dropped and counted: nothing is late (cameras)
    PACED = "paced"  # as latest, and the giver keeps to the media clock (a file played as if it were live)


class Handoff(Generic[T]):
    """A bounded queue whose both ends wake up when either end closes or fails.

    A queue of one that drops the older item gives the lowest latency for a live source; two overlap the
    giver's work with the taker's where every item counts (MediaPipe, FlowLimiterCalculator, reasons so too).
    """

    def __init__(self, policy: Policy = Policy.EVERY, size: int = 2) -> None:
        self.dropped = 0
        self._keeps_every = policy is Policy.EVERY
        self._size = size
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._failure: BaseException | None = None

    def put(self, item: T) -> bool:
        """Hand `item` over; wait where every item counts. False where the queue is closed: stop giving."""
        with self._changed:
            if self._keeps_every:
                self._changed.wait_for(lambda: self._closed or len(self._items) < self._size)
            elif len(self._items) >= self._size and not self._closed:
                self._items.popleft()
                self.dropped += 1
            if self._closed:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def __iter__(self) -> Iterator[T]:
        """Take items until the queue is closed and empty; then raise what the giver failed with."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._items)
                if not self._items:
                    if self._failure is not None:
                        raise self._failure
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item

    def close(self) -> None:
        """No more items come; those that are queued are still taken. Wakes both ends."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def fail(self, failure: BaseException) -> None:
        """As close, and the taker raises `failure` after the last item."""
        with self._changed:
            if self._failure is None:
                self._failure = failure
        self.close()


class Pacer:
    """Holds a giver back to the media clock: item times in seconds against a wall clock in nanoseconds.

    `wait` sleeps for that many seconds and returns True where it was woken up to stop.
    """

    def __init__(self, clock: Callable[[], int], wait: Callable[[float], bool]) -> None:
        self._clock, self._wait = clock, wait
        self._origin_ns: int | None = None

    def hold(self, media_s: float) -> bool:
        """Wait until `media_s` is due, counted from the first call; False where woken up to stop."""
        if self._origin_ns is None:
            self._origin_ns = self._clock() - round(media_s * 1e9)
        ahead_s = (self._origin_ns + media_s * 1e9 - self._clock()) / 1e9
        return not (ahead_s > 0 and self._wait(ahead_s))
