import random

import numpy as np
import pytest

from bodystream.pipeline.latency import BUCKETS, LatencyBook
from bodystream.pipeline.types import Span


def test_percentiles_of_durations_that_can_be_counted_by_hand():
    book = LatencyBook()
    book.add(Span("detect", i, 0, 0, i * 1_000_000) for i in range(1, 101))
    (row,) = book.rows()
    assert (row.stage, row.count, row.max_ms) == ("detect", 100, 100.0)
    assert row.p50_ms == pytest.approx(50, rel=0.003)
    assert row.p95_ms == pytest.approx(95, rel=0.003)
    assert row.p99_ms == pytest.approx(99, rel=0.003)


def test_percentiles_agree_with_numpy_on_a_long_tail():
    generator = random.Random(7)
    durations = [int(generator.lognormvariate(16, 1.5)) for _ in range(5000)]
    book = LatencyBook()
    book.add(Span("x", 0, 0, 0, d) for d in durations)
    (row,) = book.rows()
    for percent, found in ((50, row.p50_ms), (95, row.p95_ms), (99, row.p99_ms)):
        expected = np.percentile(durations, percent, method="inverted_cdf") / 1e6
        assert found == pytest.approx(expected, rel=0.003)


def test_rows_come_in_the_announced_order_and_steps_that_never_ran_are_left_out():
    book = LatencyBook(["decode", "detect", "never"])
    book.add([Span("encode", 0, 0, 0, 5), Span("detect", 0, 0, 7_000_000, 5), Span("decode", 0, 0, 0, 5)])
    assert [row.stage for row in book.rows()] == ["decode", "detect", "encode"]
    assert book.rows()[1].queue_p50_ms == pytest.approx(7, rel=0.003)


def test_device_time_is_kept_apart():
    book = LatencyBook()
    book.add([Span("segment", 0, 0, 0, 9_000_000, 4_000_000), Span("track", 0, 0, 0, 1_000_000)])
    segment, track = book.rows()
    assert segment.device_p50_ms == pytest.approx(4, rel=0.003)
    assert track.device_p50_ms is None


def test_zero_and_absurd_durations_are_counted():
    book = LatencyBook()
    book.add([Span("x", 0, 0, 0, 0), Span("x", 0, 0, 0, 10**15)])
    (row,) = book.rows()
    assert row.count == 2
    assert row.p50_ms == 0.0
    assert row.max_ms == 10**9


def test_memory_does_not_grow_with_the_run():
    book = LatencyBook()
    for i in range(3):
        book.add(Span("x", i, 0, 0, 1000 * k) for k in range(1000))
    assert book._steps["x"].host.counts.shape == (BUCKETS,)
