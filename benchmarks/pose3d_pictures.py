"""Draw the pictures of docs/pose3d.md: frames of a run beside its poses from in front, from the right and from above.

python benchmarks/pose3d_pictures.py sheet.jpg walk.jsonl 20 60 118
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from bodystream.models.body.kinematics import JOINT_PARENTS, JOINTS
from bodystream.pipeline.draw import INK, LEFT, RIGHT
from bodystream.pipeline.record import read
from bodystream.pipeline.replay import find_video
from bodystream.pipeline.source import open_source
from bodystream.pipeline.types import Floats, Image, Result

SIDE = 240  # px of a picture
ACROSS_M = 4.0  # what a picture shows
# Axes that go to the right and down, with their signs, of x right, y down, z away.
VIEWS = {"in front": (0, 1, 1, 1), "from the right": (2, 1, 1, 1), "from above": (0, 2, 1, -1)}


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sheet", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("frames", nargs="+", type=int)
    given = parser.parse_args()
    recording = read(given.results)
    results = {result.index: result for result in recording if result.index in given.frames}
    rows = [
        np.hstack([seen(frame.image), *(view(results[frame.index], name) for name in VIEWS)])
        for frame in open_source(str(find_video(recording)))
        if frame.index in results
    ]
    cv2.imwrite(str(given.sheet), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 80])


def seen(image: Image) -> Image:
    """The frame itself."""
    width = round(image.shape[1] * SIDE / image.shape[0])
    return np.asarray(cv2.resize(image, (width, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def view(result: Result, name: str) -> Image:
    """Everybody's skeleton from one side, their middle in the middle."""
    canvas = np.full((SIDE, SIDE, 3), 255, np.uint8)
    people = [person.pose3d.joints[:, :3] for person in result.people if person.pose3d is not None]
    right, down, *signs = VIEWS[name]
    if people:
        middle = np.mean([joints[0] for joints in people], axis=0)
        for joints in people:
            flat = (joints - middle)[:, [right, down]] * signs * (SIDE / ACROSS_M) + SIDE / 2
            bones(canvas, flat)
    cv2.putText(canvas, name, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (90, 90, 90), 1, cv2.LINE_AA)
    return canvas


def bones(canvas: Image, joints: Floats) -> None:
    """Lines between joints (23, 2), px."""
    for joint, parent in enumerate(JOINT_PARENTS):
        if parent >= 0:
            name = JOINTS[joint]
            colour = LEFT if "left" in name else RIGHT if "right" in name else INK
            ends = [tuple(round(float(v) * 16) for v in joints[i]) for i in (parent, joint)]
            cv2.line(canvas, ends[0], ends[1], colour, 2, cv2.LINE_AA, shift=4)


if __name__ == "__main__":
    main()
