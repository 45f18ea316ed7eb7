"""The latency book: what every step of every frame cost, in memory that does not grow with the run."""

import math
import threading
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from bodystream.pipeline.types import Row, Span

# Durations are counted in buckets that grow by 0.5 %, so a percentile is within 0.25 % of the true one,
# from 1 µs to 1000 s. HdrHistogram (Gil Tene) is the idea; 4157 int64 counters are 33 KB a step.
GROWTH = 1.005
SMALLEST_NS = 1_000
LARGEST_NS = 1_000_000_000_000
BUCKETS = math.ceil(math.log(LARGEST_NS / SMALLEST_NS) / math.log(GROWTH)) + 1


class LatencyBook:
    """Collects spans from any thread and gives percentiles.

    The order of rows is that in which steps were announced, then that in which they were first seen.
    """

    def __init__(self, steps: Sequence[str] = ()) -> None:
        self._lock = threading.Lock()
        self._steps: dict[str, _Step] = {name: _Step() for name in steps}

    def add(self, spans: Iterable[Span]) -> None:
        """Count the spans."""
        with self._lock:
            for span in spans:
                self._steps.setdefault(span.stage, _Step()).add(span)

    def rows(self) -> tuple[Row, ...]:
        """Return one row a step that has been seen; times in ms."""
        with self._lock:
            return tuple(step.row(name) for name, step in self._steps.items() if step.host.count)


class _Step:
    def __init__(self) -> None:
        self.host, self.queue, self.device = _Histogram(), _Histogram(), _Histogram()

    def add(self, span: Span) -> None:
        self.host.add(span.host_ns)
        self.queue.add(span.queue_ns)
        if span.device_ns is not None:
            self.device.add(span.device_ns)

    def row(self, name: str) -> Row:
        p50, p95, p99 = self.host.percentiles_ms(50, 95, 99)
        queue_p50, queue_p95 = self.queue.percentiles_ms(50, 95)
        device_p50 = self.device.percentiles_ms(50)[0] if self.device.count else None
        return Row(
            name, self.host.count, p50, p95, p99, self.host.largest_ns / 1e6, queue_p50, queue_p95, device_p50
        )


class _Histogram:
    def __init__(self) -> None:
        self.counts: NDArray[np.int64] = np.zeros(BUCKETS, np.int64)
        self.count = 0
        self.largest_ns = 0

    def add(self, duration_ns: int) -> None:
        self.counts[_bucket(duration_ns)] += 1
        self.count += 1
        self.largest_ns = max(self.largest_ns, duration_ns)

    def percentiles_ms(self, *percents: float) -> list[float]:
        """Nearest-rank percentiles: the smallest duration that `percent` % of all durations do not exceed."""
        ranks = [max(1, math.ceil(self.count * percent / 100)) for percent in percents]
        found = np.searchsorted(np.cumsum(self.counts), ranks)
        return [min(_middle_ns(int(bucket)), self.largest_ns) / 1e6 for bucket in found]


def _bucket(duration_ns: int) -> int:
    if duration_ns < SMALLEST_NS:
        return 0
    return min(BUCKETS - 1, 1 + int(math.log(duration_ns / SMALLEST_NS) / math.log(GROWTH)))


def _middle_ns(bucket: int) -> float:
    # Bucket 0 holds everything under a microsecond, which is reported as nothing.
    return 0.0 if bucket == 0 else SMALLEST_NS * GROWTH ** (bucket - 0.5)
