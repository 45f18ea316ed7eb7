"""Results as a table: `.csv`, one row a person and frame, one column a number."""

import csv
import io
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bodystream.pipeline.record import KEYPOINT, PX, WORLD, rounded
from bodystream.pipeline.sinks.output import Pieces
from bodystream.pipeline.types import End, Frame, Header, Person, Result, Span

POSE_FIELDS = ("pose3d_x", "pose3d_y", "pose3d_z", "pose3d_confidence")
KEYPOINT_FIELDS = ("x", "y", "confidence")
WORLD_FIELDS = ("world_x", "world_y", "world_z", "world_confidence")


class CsvSink:
    """Writes a header row, then a row for every person of every frame; a frame without people has no row.

    The columns: frame, time_s, file, id, score, box_x0 … box_y1 (px), then for each keypoint of the header
    x and y (px) and confidence, then for each world_x, world_y, world_z (m) and world_confidence, then for each
    joint of the header, if any, pose3d_x, pose3d_y, pose3d_z (m, the camera's axes) and pose3d_confidence. What
    is not known is an empty cell. Masks are not in it.
    """

    needs_image = False

    def __init__(self, path: Path, *, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._lines, self._clock = Pieces(path), clock
        self._keypoints = self._joints = 0

    def open(self, header: Header) -> None:
        """Write the header row."""
        self._keypoints, self._joints = len(header.keypoints), len(joints_of(header))
        self._lines.open()
        self._lines.write(_rows([columns_of(header)]))

    def write(self, frame: Frame | None, result: Result) -> Sequence[Span]:  # noqa: ARG002 - asked for by Sink
        """Write the frame's rows."""
        start = self._clock()
        common = [result.index, round(float(result.pts), 6), result.file]
        self._lines.write(_rows([*common, *self._cells(person)] for person in result.people))
        return (Span("write csv", result.index, start, 0, self._clock() - start),)

    def close(self, end: End | None) -> None:  # noqa: ARG002 - asked for by Sink
        """Close the file."""
        self._lines.close()

    def _cells(self, person: Person) -> Iterator[object]:
        yield person.id
        yield round(float(person.score), 4)
        yield from rounded(person.box, PX)
        joints = None if person.pose3d is None else person.pose3d.joints
        for points, steps, count in (
            (person.landmarks, KEYPOINT, self._keypoints),
            (person.world, WORLD, self._keypoints),
            (joints if self._joints else None, WORLD, self._joints),
        ):
            if points is None:
                yield from [None] * (count * len(steps))
            else:
                # NaN is not equal to itself
                yield from (None if x != x else x for x in rounded(points, steps) for x in x)


def joints_of(header: Header) -> tuple[str, ...]:
    """Names of the joints of poses in space; none where the results have no such poses."""
    return tuple(header.extra.get("joints", ()))


def columns_of(header: Header) -> list[str]:
    """Names of the table's columns."""
    keypoints = [name.replace(" ", "_") for name in header.keypoints]
    columns = ["frame", "time_s", "file", "id", "score", "box_x0", "box_y0", "box_x1", "box_y1"]
    for names, fields in (
        (keypoints, KEYPOINT_FIELDS),
        (keypoints, WORLD_FIELDS),
        (joints_of(header), POSE_FIELDS),
    ):
        columns += [f"{name}_{field}" for name in names for field in fields]
    return columns


def _rows(rows: Iterator[Sequence[object]] | Sequence[Sequence[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
