"""Results as a table for data tools: `.parquet`, written by pyarrow, one row a person and frame."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from bodystream.errors import OutputFailed
from bodystream.pipeline import record
from bodystream.pipeline.sinks.csv import columns_of, joints_of
from bodystream.pipeline.sinks.output import part, writing
from bodystream.pipeline.types import End, Floats, Frame, Header, Person, Result, Span

GROUP = 1024  # rows that are written at once, some MB: what tools skip by, and what memory holds


class ParquetSink:
    """Writes the columns of the CSV with their types; what is not known is null.

    `frame` int64, `time_s` float64, `file` string, `id` int32, all others float32; the header line of
    `bodystream/1` is the metadata `bodystream`. Without its end a Parquet file cannot be read, so it is written as
    `NAME.part` and gets its name when it is whole; where it cannot be made whole nothing is left.
    """

    needs_image = False

    def __init__(self, path: Path, *, clock: Callable[[], int] = time.monotonic_ns) -> None:
        try:
            import pyarrow.parquet
        except ImportError as error:
            raise OutputFailed(
                f"cannot write {path}: Parquet needs pyarrow; pip install 'bodystream[parquet]'"
            ) from error
        self._arrow = pyarrow
        self._path, self._clock = path, clock
        self._writer: Any = None
        self._rows: list[tuple[object, ...]] = []
        self._keypoints = self._joints = 0
        self._failed = False

    def open(self, header: Header) -> None:
        """Begin the file."""
        arrow = self._arrow
        self._keypoints, self._joints = len(header.keypoints), len(joints_of(header))
        types = {
            "frame": arrow.int64(),
            "time_s": arrow.float64(),
            "file": arrow.string(),
            "id": arrow.int32(),
        }
        fields = [(name, types.get(name, arrow.float32())) for name in columns_of(header)]
        told = {"bodystream": record.encode_header(header).rstrip()}
        with writing(self._path):
            self._writer = arrow.parquet.ParquetWriter(part(self._path), arrow.schema(fields, told))

    def write(self, frame: Frame | None, result: Result) -> Sequence[Span]:  # noqa: ARG002 - asked for by Sink
        """Add the frame's rows."""
        start = self._clock()
        if self._writer is None:
            raise OutputFailed(f"cannot write {self._path}: it is not open")
        common = (result.index, float(result.pts), result.file)
        self._rows += ((*common, person.id, self._numbers(person)) for person in result.people)
        if len(self._rows) >= GROUP:
            with writing(self._path):
                self._flush()
        return (Span("write parquet", result.index, start, 0, self._clock() - start),)

    def close(self, end: End | None) -> None:  # noqa: ARG002 - asked for by Sink
        """Write what is still held, and the end of the file."""
        writer = self._writer
        if writer is None:
            return
        try:
            with writing(self._path):
                if not self._failed:
                    self._flush()
                    writer.close()
                    part(self._path).replace(self._path)
        finally:
            self._writer = None
            with suppress(OSError):  # told already
                writer.close()
            part(self._path).unlink(missing_ok=True)

    def _numbers(self, person: Person) -> Floats:
        """Score, box, keypoints, world, joints, in the columns' order; NaN where not known."""
        joints = None if person.pose3d is None else person.pose3d.joints
        points = [
            (person.landmarks, 3 * self._keypoints),
            (person.world, 4 * self._keypoints),
            (joints if self._joints else None, 4 * self._joints),
        ]
        known = [np.full(size, np.nan) if values is None else values.ravel() for values, size in points]
        return np.concatenate([[person.score], person.box, *known]).astype(np.float32)

    def _flush(self) -> None:
        rows, self._rows = self._rows, []
        if rows:
            schema, self._failed = self._writer.schema, True  # until it has gone well
            self._writer.write_table(self._arrow.table(list(self._columns(rows, schema)), schema=schema))
            self._failed = False

    def _columns(self, rows: Sequence[tuple[object, ...]], schema: Any) -> Iterator[Any]:
        *common, numbers = zip(*rows, strict=True)
        for values, field in zip(common, schema, strict=False):
            yield self._arrow.array(values, field.type)
        for column in np.stack(numbers).T:
            yield self._arrow.array(column, from_pandas=True)  # NaN is null
