"""Results as COCO does: `.coco.json`, the array that `pycocotools` loads with `loadRes`."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from bodystream.models.keypoints import layout_of
from bodystream.pipeline import rle
from bodystream.pipeline.record import KEYPOINT, PX, rounded
from bodystream.pipeline.sinks.output import Pieces
from bodystream.pipeline.types import End, Frame, Header, Result, Span

PERSON = 1  # COCO's category
NUMBERED = re.compile(r"(?:.*_)?(\d+)")  # 000000009483.jpg, COCO_val2014_000000000042.jpg


class CocoSink:
    """Writes an array with an object a person: image_id, category_id, bbox, score, segmentation, keypoints.

    `image_id` is the number that the picture's file name is (or ends in, after an underscore), else the
    frame's index. `bbox` is x y width height, px. `keypoints` are COCO's 17: x, y and our confidence in place
    of visibility, counted from the middle of the first pixel as COCO does: half a pixel less than ours; 0 0 0 for
    one that is not among these results' keypoints, and no entry where none is.
    The file is a whole JSON array at every moment.
    """

    needs_image = False

    def __init__(self, path: Path, *, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._array, self._clock = Pieces(path, tail=b"\n]\n"), clock
        self._empty = True

    def open(self, header: Header) -> None:  # noqa: ARG002 - asked for by Sink
        """Write an empty array."""
        self._array.open()
        self._array.write(b"[")

    def write(self, frame: Frame | None, result: Result) -> Sequence[Span]:  # noqa: ARG002 - asked for by Sink
        """Write the frame's people."""
        start = self._clock()
        people = [orjson.dumps(person) for person in coco_people(result)]
        if people:
            self._array.write((b"\n" if self._empty else b",\n") + b",\n".join(people))
            self._empty = False
        return (Span("write coco", result.index, start, 0, self._clock() - start),)

    def close(self, end: End | None) -> None:  # noqa: ARG002 - asked for by Sink
        """Close the file."""
        self._array.close()


def coco_people(result: Result) -> Iterator[dict[str, Any]]:
    """Yield COCO's result objects of one frame."""
    columns = layout_of(result.keypoints).coco
    for person, silhouette in zip(result.people, result.silhouettes, strict=True):
        corner, far = person.box[:2], person.box[2:]
        entry: dict[str, Any] = {"image_id": image_id(result), "category_id": PERSON}
        entry["bbox"] = rounded(np.concatenate([corner, far - corner]), PX)
        entry["score"] = round(float(person.score), 4)
        if silhouette is not None and silhouette.inside.any():
            entry["segmentation"] = rle.encode(silhouette, result.size)
        if person.landmarks is not None and (columns >= 0).any():
            points = person.landmarks[columns] - np.array([0.5, 0.5, 0], np.float32)  # (17, 3)
            points[columns < 0] = 0
            entry["keypoints"] = [number for point in rounded(points, KEYPOINT) for number in point]
        yield entry


def image_id(result: Result) -> int:
    """Return COCO's number of the picture."""
    numbered = NUMBERED.fullmatch(Path(result.file).stem) if result.file else None
    return int(numbered[1]) if numbered else result.index
