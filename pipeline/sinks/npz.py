"""Results as numpy arrays: `.npz`, read with `numpy.load` and without pickle."""

import os
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from bodystream.errors import OutputFailed
from bodystream.models.body.kinematics import JOINTS, local_turns, quaternions
from bodystream.models.body.skeleton import BONES, SEGMENTS
from bodystream.pipeline import iuv, record, rle
from bodystream.pipeline.sinks.csv import joints_of
from bodystream.pipeline.sinks.output import part, write_all, writing
from bodystream.pipeline.types import End, Frame, Header, Person, Result, Span


class NpzSink:
    """Writes arrays with a row a frame (`frame_…`) and arrays with a row a person and frame (`person_…`).

    An .npz needs its lengths first, so rows are gathered in unnamed temporary files beside the output (memory
    stays flat, `kill -9` leaves neither rubbish nor an .npz) and packed by `close`, whatever ended the run:
    for that moment the rows take twice their room. Where that room is lacking no .npz is left behind.

    The arrays, F frames, P people in all frames, J keypoints:
    `frame_index` int64 (F,) · `frame_time_s` float64 (F,) · `frame_time` int64 (F, 2) the exact time as
    numerator and denominator · `frame_size` int32 (F, 2) width, height · `frame_dropped_before` int32 (F,) ·
    `frame_people` int32 (F,) · `person_frame` int64 (P,) the frame's index · `person_id` int32 (P,) ·
    `person_score` float32 (P,) · `person_box` float32 (P, 4) x0 y0 x1 y1 px · `person_keypoints` float32
    (P, J, 3) x y px, confidence · `person_world` float32 (P, J, 4) x y z m, confidence · `person_mask_end`
    int64 (P,) and `mask_codes` uint8: person p's COCO code is
    `mask_codes[person_mask_end[p - 1]:person_mask_end[p]]`, from 0 for the first, empty without a mask ·
    `person_dense_end` int64 (P,) and `dense_codes` uint8: the PNGs of the dense maps (see `pipeline.iuv`) in the
    same manner · `person_dense_to_image` float64 (P, 2, 3): px of that map to px of the image ·
    `keypoints` the J names · `header` the header line of `bodystream/1`. Where there are poses in space (m, the
    camera's axes): `person_joints` float32 (P, 23, 4) x y z, confidence · `person_root` (P, 3) · `person_turns`
    (P, 17, 4) quaternions w x y z relative to the parent segment · `person_bones` (P, 7) m · `joints`, `segments` and
    `bones` their names. What is not known is NaN.
    """

    needs_image = False

    def __init__(self, path: Path, *, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._path, self._clock = path, clock
        self._tables: _Tables | None = None

    def open(self, header: Header) -> None:
        """Begin the temporary files."""
        with writing(self._path):
            self._tables = _Tables(self._path.parent, header)
            part(self._path).touch()  # an unwritable folder is told of now, not after the run

    def write(self, frame: Frame | None, result: Result) -> Sequence[Span]:  # noqa: ARG002 - asked for by Sink
        """Add a row for the frame and one for each of its people."""
        start = self._clock()
        with writing(self._path):
            if self._tables is None:
                raise OutputFailed(f"cannot write {self._path}: it is not open")
            self._tables.add(result)
        return (Span("write npz", result.index, start, 0, self._clock() - start),)

    def close(self, end: End | None) -> None:  # noqa: ARG002 - asked for by Sink
        """Pack the arrays into the file."""
        tables, self._tables = self._tables, None
        if tables is None:
            return
        try:
            with writing(self._path), closing(tables):
                tables.pack(part(self._path))
                part(self._path).replace(self._path)
        finally:
            part(self._path).unlink(missing_ok=True)


class _Tables:
    """Rows of frames and of people, and the codes of masks and dense maps, in files that vanish with the process."""

    def __init__(self, folder: Path, header: Header) -> None:
        self._whole = {
            "keypoints": np.array(header.keypoints, np.str_),
            "header": np.array(record.encode_header(header).decode()),
        }
        self._poses = bool(joints_of(header))
        self._person = _person_row(len(header.keypoints), poses=self._poses)
        if self._poses:
            names = {"joints": JOINTS, "segments": SEGMENTS, "bones": BONES}
            self._whole |= {key: np.array(value, np.str_) for key, value in names.items()}
        with ExitStack() as stack:
            files = [stack.enter_context(tempfile.TemporaryFile(dir=folder, buffering=0)) for _ in range(4)]
            self._frames, self._people, self._masks, self._denses = files
            self._open = stack.pop_all()
        self._mask_end = self._dense_end = 0

    def add(self, result: Result) -> None:
        exact = result.pts.as_integer_ratio()
        row = (result.index, result.pts, exact, result.size, result.dropped_before, len(result.people))
        write_all(self._frames, np.array(row, FRAME_ROW).tobytes())
        for person, silhouette in zip(result.people, result.silhouettes, strict=True):
            code = b"" if silhouette is None else rle.encode(silhouette, result.size)["counts"].encode()
            write_all(self._masks, code)
            self._mask_end += len(code)
            png = b"" if person.dense is None else iuv.encode(person.dense)
            write_all(self._denses, png)
            self._dense_end += len(png)
            write_all(self._people, self._row(result, person).tobytes())

    def _row(self, result: Result, person: Person) -> NDArray[np.void]:
        row = np.empty((), self._person)
        row["frame"], row["id"], row["score"], row["box"] = result.index, person.id, person.score, person.box
        row["keypoints"] = np.nan if person.landmarks is None else person.landmarks
        row["world"] = np.nan if person.world is None else person.world
        row["mask_end"], row["dense_end"] = self._mask_end, self._dense_end
        row["dense_to_image"] = np.nan if person.dense is None else person.dense.to_image
        if self._poses:
            pose = person.pose3d
            row["joints"], row["root"], row["turns"], row["bones"] = (
                (np.nan,) * 4
                if pose is None
                else (pose.joints, pose.root, quaternions(local_turns(pose.turns)), pose.lengths)
            )
        return row

    def pack(self, path: Path) -> None:
        frames, people = _rows(self._frames, FRAME_ROW), _rows(self._people, self._person)
        arrays = {f"frame_{name}": frames[name] for name in FRAME_ROW.names or ()}
        arrays |= {f"person_{name}": people[name] for name in self._person.names or ()}
        arrays["mask_codes"] = _rows(self._masks, np.dtype(np.uint8))
        arrays["dense_codes"] = _rows(self._denses, np.dtype(np.uint8))
        with zipfile.ZipFile(path, "w") as archive:
            for name, array in (arrays | self._whole).items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, array, allow_pickle=False)

    def close(self) -> None:
        self._open.close()


FRAME_ROW = np.dtype(
    [
        ("index", np.int64),
        ("time_s", np.float64),
        ("time", np.int64, 2),
        ("size", np.int32, 2),
        ("dropped_before", np.int32),
        ("people", np.int32),
    ]
)


POSE = [
    ("joints", np.float32, (len(JOINTS), 4)),
    ("root", np.float32, 3),
    ("turns", np.float32, (len(SEGMENTS), 4)),
    ("bones", np.float32, len(BONES)),
]


def _person_row(keypoints: int, *, poses: bool) -> np.dtype[np.void]:
    return np.dtype(
        [
            ("frame", np.int64),
            ("id", np.int32),
            ("score", np.float32),
            ("box", np.float32, 4),
            ("keypoints", np.float32, (keypoints, 3)),
            ("world", np.float32, (keypoints, 4)),
            ("mask_end", np.int64),
            ("dense_end", np.int64),
            ("dense_to_image", np.float64, (2, 3)),
            *(POSE if poses else ()),
        ]
    )


def _rows(file: IO[bytes], row: np.dtype[Any]) -> NDArray[Any]:
    """Return the file's whole rows, left on the disk; a half row is what a full disk leaves."""
    count = file.seek(0, os.SEEK_END) // row.itemsize
    return np.memmap(file, row, "r", shape=(count,)) if count else np.empty(0, row)
