"""Draw the pictures of docs/dense.md: people cut out of clips and photographs, parts and isolines over them.

    python benchmarks/dense_pictures.py out.jpg --dense dense-s PLACE:FRAME:PERSON ...

PLACE is a clip of the zoo, a video or a photograph; FRAME an index; PERSON counts from the left. Each person is
shown as seen, with parts, and with lines of constant U and V.
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np

from bodystream.cli.prepare import prepared
from bodystream.models import store
from bodystream.models.zoo import ZOO
from bodystream.pipeline.chain import Chain
from bodystream.pipeline.draw import draw_surface_layers
from bodystream.pipeline.source import open_source
from bodystream.pipeline.stages import Choices, Placement, open_stages
from bodystream.pipeline.types import Image, Result

SIDE = 300  # px of a picture
COLUMNS = 2  # people beside each other


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", type=Path)
    parser.add_argument("people", nargs="+")
    parser.add_argument("--dense", default="dense-s")
    given = parser.parse_args()
    rows = [_strip(*spec.rsplit(":", 2), given.dense) for spec in given.people]
    while len(rows) % COLUMNS:
        rows.append(np.zeros_like(rows[0]))
    lines = [np.hstack(rows[i : i + COLUMNS]) for i in range(0, len(rows), COLUMNS)]
    cv2.imwrite(str(given.target), np.vstack(lines), [cv2.IMWRITE_JPEG_QUALITY, 82])


if __name__ == "__main__":
    main()
