"""Results as `bodystream/1` JSON lines: `.jsonl`, or `-` for standard output."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bodystream.pipeline import record
from bodystream.pipeline.sinks.output import Pieces
from bodystream.pipeline.types import End, Frame, Header, Result, Span


def utc_now() -> datetime:
    """Return the date and time, for the header's "started"."""
    return datetime.now(UTC)


class JsonlSink:
    """Writes each frame's lines in one piece and at once: `kill -9` loses nothing that was written.

    `path` None is standard output.
    """

    needs_image = False

    def __init__(
        self,
        path: Path | None,
        *,
        clock: Callable[[], int] = time.monotonic_ns,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._lines, self._clock, self._now = Pieces(path), clock, now

    def open(self, header: Header) -> None:
        """Write the header line."""
        self._lines.open()
        self._lines.write(record.encode_header(header, self._now().isoformat(timespec="seconds")))

    def write(self, frame: Frame | None, result: Result) -> Sequence[Span]:  # noqa: ARG002 - asked for by Sink
        """Write the frame's lines."""
        start = self._clock()
        self._lines.write(record.encode_result(result))
        return (Span("write jsonl", result.index, start, 0, self._clock() - start),)

    def close(self, end: End | None) -> None:
        """Write the end line, if the end is known."""
        try:
            if end is not None and self._lines.is_open:
                self._lines.write(record.encode_end(end))
        finally:
            self._lines.close()
