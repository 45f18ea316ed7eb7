"""The run on a time line: `.trace.json`, for Perfetto, chrome://tracing and speedscope."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from bodystream.pipeline.sinks.output import Pieces
from bodystream.pipeline.types import End, Frame, Header, Result, Span

PROCESS = 1


class TraceSink:
    """Writes the Trace Event Format's array: a row a stage, a bar a span, marks for events and drops.

    Times are µs since the first span. The format: "Trace Event Format", Google, 2016, JSON Array Format; its
    readers forgive a missing end, but the file is whole at every moment anyway.
    """

    needs_image = False

    def __init__(self, path: Path, *, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._array, self._clock = Pieces(path, tail=b"\n]\n"), clock
        self._origin_ns: int | None = None
        self._threads: dict[str, int] = {}

    def open(self, header: Header) -> None:
        """Write the name of the run."""
        name = {"name": f"bodystream {header.source.name}"}
        self._array.open()
        self._array.write(
            b"[\n" + orjson.dumps({"ph": "M", "name": "process_name", "pid": PROCESS, "args": name})
        )

    def write(self, frame: Frame | None, result: Result) -> Sequence[Span]:  # noqa: ARG002 - asked for by Sink
        """Write the spans that came with the result."""
        start = self._clock()
        self._array.write(b"".join(b",\n" + orjson.dumps(event) for event in self._events(result)))
        return (Span("write trace", result.index, start, 0, self._clock() - start),)

    def close(self, end: End | None) -> None:  # noqa: ARG002 - asked for by Sink
        """Close the file."""
        self._array.close()

    def _events(self, result: Result) -> Iterator[dict[str, Any]]:
        spans = sorted(result.spans, key=lambda span: span.start_ns)
        if not spans:
            return
        if self._origin_ns is None:
            self._origin_ns = spans[0].start_ns
        for span in spans:
            if span.stage not in self._threads:
                self._threads[span.stage] = len(self._threads) + 1
                yield self._event("M", span.stage, name="thread_name", args={"name": span.stage})
            yield self._bar(span)
        now_us = self._us(max(span.start_ns + span.host_ns for span in spans))
        for mark in result.events:
            yield {"ph": "i", "s": "g", "name": mark, "pid": PROCESS, "tid": 0, "ts": now_us}
        counts = {"people": len(result.people), "dropped": result.dropped_before}
        yield {"ph": "C", "name": "frame", "pid": PROCESS, "ts": now_us, "args": counts}

    def _bar(self, span: Span) -> dict[str, Any]:
        args = {"frame": span.frame, "queue_us": span.queue_ns / 1000}
        if span.device_ns is not None:
            args["device_us"] = span.device_ns / 1000
        times = {"ts": self._us(span.start_ns), "dur": span.host_ns / 1000}
        return self._event("X", span.stage, name=span.stage, args=args) | times

    def _event(self, kind: str, stage: str, name: str, args: dict[str, Any]) -> dict[str, Any]:
        return {"ph": kind, "name": name, "pid": PROCESS, "tid": self._threads[stage], "args": args}

    def _us(self, time_ns: int) -> float:
        return (time_ns - (self._origin_ns or 0)) / 1000
