"""Draw the pictures of docs/dense.md: people cut out of clips and photographs, as seen, with parts, with a texture.

    python benchmarks/dense_pictures.py sheet.jpg --dense dense-s vtest:200:0 photo.jpg:0:0 ...

A person is PLACE:FRAME:NUMBER: a clip of the zoo or a file, a frame's index, and the how manieth from the left.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from bodystream.cli.drawing import chosen_layers
from bodystream.cli.prepare import chain_of
from bodystream.models.store import resolve
from bodystream.pipeline.chain import Chain
from bodystream.pipeline.draw import draw
from bodystream.pipeline.source import open_source
from bodystream.pipeline.stages import Choices, Placement
from bodystream.pipeline.types import Image, Person, Result

SIDE = 260  # px of a picture
COLUMNS = 2  # people beside each other
MARGIN = 1.15  # of the square round a person


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sheet", type=Path)
    parser.add_argument("people", nargs="+")
    parser.add_argument("--dense", default="dense-s")
    given = parser.parse_args()
    strips = [strip(person, number, given.dense) for number, person in enumerate(given.people, start=1)]
    while len(strips) % COLUMNS:
        strips.append(np.full_like(strips[0], 255))
    rows = [np.hstack(strips[i : i + COLUMNS]) for i in range(0, len(strips), COLUMNS)]
    cv2.imwrite(str(given.sheet), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 80])


def strip(person: str, number: int, dense: str) -> Image:
    """Three pictures of one person beside each other."""
    place, index, which = person.rsplit(":", 2)
    image, result = found(place, int(index), dense)
    if int(which) >= len(result.people):
        raise SystemExit(f"{person}: there are only {len(result.people)} people")
    someone = sorted(result.people, key=lambda each: float(each.box[0]))[int(which)]
    result = replace(result, people=(someone,)) if len(result.people) == 1 else result
    off = {"boxes": False, "ids": False, "hud": False, "skeleton": False}
    parts, jersey = (
        replace(chosen_layers(*words), **off) for words in (("parts", None), ("parts", "jersey"))
    )
    views = [cut(view, someone) for view in (image, draw(image, result, parts), draw(image, result, jersey))]
    cv2.rectangle(views[0], (0, 0), (34, 26), (0, 0, 0), cv2.FILLED)
    cv2.putText(
        views[0], str(number), (4, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 1, cv2.LINE_AA
    )
    return np.hstack(views)


def found(place: str, index: int, dense: str) -> tuple[Image, Result]:
    """The frame, and the people in it after all frames before."""
    chain = Chain(chain_of(Choices(dense=dense), Placement(), offline=False), time.monotonic_ns)
    for frame in open_source(str(resolve(place))):
        people, _, _ = chain(frame)
        if frame.index == index:
            size = (frame.image.shape[1], frame.image.shape[0])
            return frame.image, Result(frame.index, frame.pts, size, people)
    raise SystemExit(f"{place} has no frame {index}")


def cut(image: Image, person: Person) -> Image:
    """The square round a person, black outside the picture: (SIDE, SIDE, 3)."""
    x0, y0, x1, y1 = (float(edge) for edge in person.box)
    side = MARGIN * max(x1 - x0, y1 - y0)
    scale = SIDE / side
    shift = [SIDE / 2 - scale * (x0 + x1) / 2, SIDE / 2 - scale * (y0 + y1) / 2]
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.warpAffine(image, matrix, (SIDE, SIDE), flags=smooth & ~0x10), np.uint8)


if __name__ == "__main__":
    main()
