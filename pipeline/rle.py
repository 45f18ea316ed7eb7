"""Silhouettes as COCO run-length codes of the whole image, without ever making the whole image.

COCO's code lists the lengths of alternating runs of outside and inside, down the columns (Fortran order),
beginning with outside. `pycocotools` codes a full-size array; a person fills a small part of one, so the runs
are taken from the part. The codes are those of `pycocotools`, byte for byte.
"""

from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from bodystream.pipeline.types import Silhouette


class Rle(TypedDict):
    """COCO's own record: `size` is [height, width], px; `counts` the compressed runs."""

    size: list[int]
    counts: str


def encode(silhouette: Silhouette, size: tuple[int, int]) -> Rle:
    """Code a silhouette, which lies inside an image of `size` (width, height), px."""
    width, height = size
    rows, columns = silhouette.inside.shape
    padded = np.zeros((columns, rows + 2), np.int8)  # a row of outside at both ends of each column
    padded[:, 1:-1] = silhouette.inside.T
    column, row = np.divmod(np.flatnonzero(np.diff(padded, axis=1).ravel()), rows + 1)
    ends = (silhouette.x + column) * height + silhouette.y + row  # start, end, start, ... in the whole image
    if rows == height:  # a run that reaches the bottom goes on at the top of the next column
        joined = np.flatnonzero(ends[1:] == ends[:-1])
        ends = np.delete(ends, np.concatenate([joined, joined + 1]))
    counts = np.diff(ends, prepend=0, append=width * height)
    if counts[-1] == 0:
        counts = counts[:-1]
    coded = coco.frPyObjects({"size": [height, width], "counts": counts.tolist()}, height, width)
    return {"size": [height, width], "counts": coded["counts"].decode("ascii")}


def decode(rle: Rle) -> Silhouette | None:
    """Return the inside of a code, cut to its bounding box; None where nothing is inside.

    Raises ValueError where the code does not fill an image of its size.
    """
    height, width = rle["size"]
    counts = _runs(rle["counts"].encode("ascii"))
    bounds = np.cumsum(counts)
    if not len(bounds) or bounds[-1] != width * height or counts.min() < 0:
        raise ValueError(f"a mask code that does not fill its {width}×{height} image")
    ends = bounds[1::2]
    starts = bounds[0::2][: len(ends)]
    if not len(ends):
        return None
    left, right = int(starts[0]) // height, -(-int(ends[-1]) // height)
    steps = np.zeros((right - left) * height + 1, np.int8)  # +1 where a run starts, -1 where it ends
    steps[starts - left * height] += 1
    steps[ends - left * height] -= 1
    inside = np.cumsum(steps[:-1], dtype=np.int8).view(np.bool_).reshape(right - left, height)  # (w, H)
    used = np.flatnonzero(inside.any(axis=0))
    if not len(used):
        return None
    return Silhouette(left, int(used[0]), inside[:, used[0] : used[-1] + 1].T)


def _runs(code: bytes) -> NDArray[np.int64]:
    """Undo COCO's compression; `rleFrString` in the COCO API's maskApi.c tells the format.

    5 bits a character, the low ones first, bit 6 for "more"; from the fourth on, each run is stored as its
    difference to the run two before.
    """
    characters = np.frombuffer(code, np.uint8).astype(np.int64) - 48
    last = np.flatnonzero((characters & 0x20) == 0)  # (M,) the final character of each run
    first = np.concatenate([[0], last[:-1] + 1]) if len(last) else last
    lengths = last - first + 1
    if not len(last) or last[-1] != len(characters) - 1 or lengths.max() > 12:
        raise ValueError("a mask code that ends in the middle of a run")
    place = np.arange(len(characters)) - np.repeat(first, lengths)
    runs = np.add.reduceat((characters & 0x1F) << (5 * place), first)
    runs -= np.where(characters[last] & 0x10, np.int64(1) << (5 * lengths), 0)  # two's complement
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs
