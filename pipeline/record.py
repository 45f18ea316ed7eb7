"""`bodystream/1`, the results on disk, both ways: one JSON object a line.

    {"type":"header", ...}     once, first
    {"type":"event", ...}      before the frame that it belongs to
    {"type":"frame", ...}      one a frame, flushed as it is written
    {"type":"end", ...}        last, where the run came to its end

docs/results.md explains every field. Numbers are rounded to what they can mean: pixels to 0.01, metres to
0.0001, confidence to 0.001, score (which ranks people) to 0.0001, spans to 1 µs; a number that is not
finite is null and comes back as NaN. Times are exact: "time" is a fraction of seconds, "pts" the same as a
number.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from bodystream import __version__
from bodystream.errors import ResultsError, SourceNotFound
from bodystream.models.body.kinematics import JOINTS, global_turns, local_turns, matrices, quaternions
from bodystream.models.body.skeleton import BONES, SEGMENTS
from bodystream.models.keypoints import KEYPOINTS
from bodystream.pipeline import iuv, rle
from bodystream.pipeline.types import (
    Dense,
    End,
    Floats,
    Header,
    Mask,
    ModelInfo,
    Person,
    Pose3d,
    Result,
    Row,
    SourceInfo,
    Span,
)

SCHEMA = "bodystream/1"
# One over the rounding step, column by column.
PX = np.array([100, 100, 100, 100])
KEYPOINT = np.array([100, 100, 1000])
WORLD = np.array([10_000, 10_000, 10_000, 1000])
METRES = np.array(10_000)
TURN = np.array(100_000)  # of a quaternion: a hundredth of a millimetre at the end of a limb


def encode_header(header: Header, started: str | None = None) -> bytes:
    """Return the first line. `started` is the date and time of the run, ISO 8601.

    A header that was read from a file keeps its own "version" and "started", which are among its extras.
    """
    line = {"type": "header", "schema": SCHEMA, "version": __version__}
    if started is not None:
        line["started"] = started
    known = {
        "source": {key: value for key, value in asdict(header.source).items() if value is not None},
        "models": [asdict(model) for model in header.models],
        "settings": dict(header.settings),
        "keypoints": header.keypoints,
    }
    return orjson.dumps(line | dict(header.extra) | known, default=_plain, option=orjson.OPT_APPEND_NEWLINE)


def encode_result(result: Result) -> bytes:
    """Return the lines of one frame: its events, if any, then the frame."""
    events = [_encode_event(result.index, event) for event in result.events]
    line: dict[str, Any] = {"type": "frame", "index": result.index, "pts": round(float(result.pts), 6)}
    line["time"] = str(result.pts)
    if result.file is not None:
        line["file"] = result.file
    line["width"], line["height"] = result.size
    line["dropped_before"] = result.dropped_before
    line["people"] = encode_people(result)
    if result.spans:
        line["spans"] = [_encode_span(span) for span in result.spans]
    return b"".join([*events, orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)])


def encode_people(result: Result) -> list[dict[str, Any]]:
    """Return the "people" of a frame line, as JSON will hold them; fields that a person lacks are absent."""
    people = []
    for person, silhouette in zip(result.people, result.silhouettes, strict=True):
        entry: dict[str, Any] = {"id": person.id, "score": round(float(person.score), 4)}
        entry["box"] = rounded(person.box, PX)
        if silhouette is not None and silhouette.inside.any():
            entry["mask"] = rle.encode(silhouette, result.size)
        if person.landmarks is not None:
            entry["keypoints"] = rounded(person.landmarks, KEYPOINT)
        if person.world is not None:
            entry["world"] = rounded(person.world, WORLD)
        if person.dense is not None:
            entry["dense"] = _encode_dense(person.dense)
        if person.pose3d is not None:
            entry["pose3d"] = _encode_pose(person.pose3d)
        people.append(entry)
    return people


def encode_end(end: End) -> bytes:
    """Return the last line."""
    line = {"type": "end"} | asdict(end)
    line["stages"] = {row.pop("stage"): _rounded_numbers(row) for row in line.pop("rows")}
    return orjson.dumps(_rounded_numbers(line), option=orjson.OPT_APPEND_NEWLINE)


def rounded(values: Floats, per_unit: np.ndarray[Any, Any]) -> list[Any]:
    """Round the columns of `values` to 1 / `per_unit`, as nested lists of Python floats."""
    numbers: list[Any] = (np.rint(values.astype(np.float64) * per_unit) / per_unit).tolist()
    return numbers


def _encode_event(index: int, event: str) -> bytes:
    what, colon, detail = event.partition(": ")
    line = {"type": "event", "index": index, "what": what} | ({"detail": detail} if colon else {})
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def _encode_span(span: Span) -> list[Any]:
    times = (span.start_ns, span.queue_ns, span.host_ns, span.device_ns)
    return [span.stage, span.frame, *(None if ns is None else round(ns / 1000) for ns in times)]


def _encode_dense(dense: Dense) -> dict[str, Any]:
    return {"to_image": dense.to_image.tolist(), "iuv": base64.b64encode(iuv.encode(dense)).decode()}


def _encode_pose(pose: Pose3d) -> dict[str, Any]:
    return {
        "joints": rounded(pose.joints, WORLD),
        "root": rounded(pose.root, METRES),
        "angles": rounded(quaternions(local_turns(pose.turns)), TURN),
        "bones": rounded(pose.lengths, METRES),
    }


def _rounded_numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: round(value, 3) if isinstance(value, float) else value for key, value in values.items()}


def _plain(value: object) -> object:
    if isinstance(value, Path | Fraction):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no place in {SCHEMA}")


@dataclass(frozen=True)
class Recording:
    """A results file. Iterate to get its results one by one, as often as you like; memory stays flat.

    `header` is read at once, `end` and `cut` look at the file's last line, so they too are there at any time
    and are right while a run still writes the file.
    """

    path: Path
    header: Header

    def __iter__(self) -> Iterator[Result]:
        """Yield the results in order. Raises ResultsError at a line that is not `bodystream/1`."""
        events: list[str] = []
        with self.path.open("rb") as file:
            file.readline()
            for number, line in enumerate(file, start=2):
                record = _parse(line)
                if record is None and not line.endswith(b"\n"):
                    return  # cut off: the run was killed while it wrote this line
                kind = _kind(self.path, number, line, record)
                if kind == "event":
                    events.append(_decode_event(record))
                elif kind == "frame":
                    names = self.header.keypoints
                    yield _decoded(self.path, number, decode_result, record, tuple(events), names)
                    events = []

    @property
    def end(self) -> End | None:
        """The end line, or None where the run was killed or still goes on."""
        record = _parse(_last_line(self.path))
        if not isinstance(record, dict) or record.get("type") != "end":
            return None
        return decode_end(record)

    @property
    def cut(self) -> bool:
        """Whether the last line is cut off in the middle."""
        line = _last_line(self.path)
        return not line.endswith(b"\n") and _parse(line) is None


def read(path: str | Path) -> Recording:
    """Open a `bodystream/1` file.

    Raises SourceNotFound where there is none, ResultsError where it is something else.
    """
    path = Path(path)
    if not path.is_file():
        raise SourceNotFound(f"no results file {path}")
    with path.open("rb") as file:
        line = file.readline(LONGEST_HEADER)
    record = _parse(line)
    if not isinstance(record, dict) or not str(record.get("schema", "")).startswith("bodystream/"):
        raise ResultsError(
            f"{path} is not a {SCHEMA} file: its first line is no header; give a .jsonl that run wrote"
        )
    if record["schema"] != SCHEMA:
        raise ResultsError(
            f"{path} is {record['schema']}, bodystream {__version__} reads {SCHEMA}; install a newer one"
        )
    return Recording(path, _decoded(path, 1, decode_header, record))


LONGEST_HEADER = 1 << 24  # bytes: a header is some KB; a foreign file may be one endless line


def _kind(path: Path, number: int, line: bytes, record: object) -> str:
    """Return the line's type ("" for an empty line); types of later versions pass and are ignored."""
    if not line.strip():
        return ""
    if not isinstance(record, dict) or not isinstance(record.get("type"), str):
        raise ResultsError(
            f"{path} line {number} is damaged: it is not a JSON object with a type; "
            f"keep what is before it with head -n {number - 1}, or run again"
        )
    if record["type"] == "header":
        raise ResultsError(f"{path} line {number} is a second header: keep each run in a file of its own")
    return str(record["type"])


def _decoded(path: Path, number: int, decode: Any, *arguments: Any) -> Any:
    try:
        return decode(*arguments)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, ArithmeticError) as error:
        raise ResultsError(
            f"{path} line {number} is not {SCHEMA} ({type(error).__name__}: {error}); write it again with run"
        ) from error


def decode_header(record: Mapping[str, Any]) -> Header:
    """Return the header; keys that are not a field of Header are kept in `extra`."""
    source = record["source"]
    info = SourceInfo(
        **{key: source[key] for key in ("name", "width", "height", "live")},
        length=source.get("length"),
        rate=Fraction(source["rate"]) if "rate" in source else None,
        path=Path(source["path"]) if "path" in source else None,
        start=Fraction(source.get("start", "0")),
        focal_px=source.get("focal_px"),
        notes=tuple(source.get("notes", ())),
    )
    names = ("stage", "name", "sha256", "provider", "precision")
    models = (
        ModelInfo(**{name: model[name] for name in names}, input=tuple(model["input"]))
        for model in record["models"]
    )
    known = ("type", "schema", "source", "models", "settings", "keypoints")
    extra = {key: value for key, value in record.items() if key not in known}
    return Header(info, tuple(models), record["settings"], tuple(record["keypoints"]), extra)


def decode_result(
    record: Mapping[str, Any], events: Sequence[str] = (), keypoints: tuple[str, ...] = KEYPOINTS
) -> Result:
    """Return the result of a frame line; `events` are those of the event lines before it, `keypoints` the header's."""
    return Result(
        index=record["index"],
        pts=Fraction(str(record.get("time", record["pts"]))),
        size=(record["width"], record["height"]),
        people=tuple(_decode_person(person) for person in record["people"]),
        spans=tuple(_decode_span(*span) for span in record.get("spans", ())),
        dropped_before=record.get("dropped_before", 0),
        events=tuple(events),
        file=record.get("file"),
        keypoints=keypoints,
    )


def decode_end(record: Mapping[str, Any]) -> End:
    """Return the end."""
    names = ("count", "p50_ms", "p95_ms", "p99_ms", "max_ms", "queue_p50_ms", "queue_p95_ms", "device_p50_ms")
    rows = (Row(stage, *(row.get(key) for key in names)) for stage, row in record["stages"].items())
    optional = {key: record.get(key) for key in ("failed", "fps", "target_fps", "met")}
    return End(
        frames=record["frames"],
        dropped=record["dropped"],
        rows=tuple(rows),
        people_mean=record["people_mean"],
        counts=record.get("counts", {}),
        **optional,
    )


def _decode_event(record: Mapping[str, Any]) -> str:
    return ": ".join(str(record[key]) for key in ("what", "detail") if key in record)


def _decode_person(entry: Mapping[str, Any]) -> Person:
    return Person(
        box=_floats(entry["box"], (4,)),
        score=entry["score"],
        id=entry["id"],
        mask=_decode_mask(entry["mask"]) if "mask" in entry else None,
        landmarks=_floats(entry["keypoints"], (-1, 3)) if "keypoints" in entry else None,
        world=_floats(entry["world"], (-1, 4)) if "world" in entry else None,
        dense=_decode_dense(entry["dense"]) if "dense" in entry else None,
        pose3d=_decode_pose(entry["pose3d"]) if "pose3d" in entry else None,
    )


def _floats(values: Any, shape: tuple[int, ...]) -> Floats:
    return np.array(values, np.float32).reshape(shape)  # None becomes NaN


def _decode_mask(code: rle.Rle) -> Mask | None:
    """Return the silhouette as a probability map of 0 and 255 on the image's own pixels."""
    silhouette = rle.decode(code)
    if silhouette is None:
        return None
    to_image = np.array([[1.0, 0.0, silhouette.x], [0.0, 1.0, silhouette.y]])
    return Mask(silhouette.inside.astype(np.uint8) * np.uint8(255), to_image)


def _decode_dense(code: Mapping[str, Any]) -> Dense:
    to_image = np.array(code["to_image"], np.float64).reshape(2, 3)
    return iuv.decode(base64.b64decode(code["iuv"], validate=True), to_image)


def _decode_pose(code: Mapping[str, Any]) -> Pose3d:
    return Pose3d(
        joints=_floats(code["joints"], (len(JOINTS), 4)),
        root=_floats(code["root"], (3,)),
        turns=global_turns(matrices(_floats(code["angles"], (len(SEGMENTS), 4)))),
        lengths=_floats(code["bones"], (len(BONES),)),
    )


def _decode_span(stage: str, frame: int, *times_us: int | None) -> Span:
    start_ns, queue_ns, host_ns = (int(us or 0) * 1000 for us in times_us[:3])
    device_us = times_us[3]
    return Span(stage, frame, start_ns, queue_ns, host_ns, None if device_us is None else device_us * 1000)


def _parse(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None  # every caller tells a damaged line from one that is cut off


def _last_line(path: Path) -> bytes:
    """Return the file's last line that is not empty, with its newline if it has one."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        block = 1 << 16
        while True:
            file.seek(max(0, size - block))
            tail = file.read()
            start = tail.rstrip().rfind(b"\n")
            if start >= 0 or block >= size:
                return tail[start + 1 :]
            block *= 4
