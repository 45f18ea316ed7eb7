"""A body of known pose seen by known cameras: what a perfect dense net would give."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from bodystream.models.body.data import load
from bodystream.models.body.raster import render
from bodystream.models.body.skin import landmarks_on
from bodystream.pipeline.calibration import Camera
from bodystream.pipeline.types import Dense, Mask, Person, Result

SIZE = (480, 640)
PIXELS = 512  # sides of the map: fine, so that what is measured is the geometry


def camera(name: str, degrees: float, away: float = 3.0) -> Camera:
    """A camera at eye height of the hips, turned round the body; 0 stands in front."""
    turn = np.asarray(cv2.Rodrigues(np.array([0.0, np.radians(degrees), 0.0]))[0])
    k = np.array([[800.0, 0, 240], [0, 800, 280], [0, 0, 1]])
    return Camera(name, SIZE, k, np.array([-0.05, 0.1, 0.001, 0.0]), turn, np.array([0.0, 0.0, away]))


def write_rig(path: Path, cameras: Sequence[Camera]) -> None:
    """Write the cameras as OpenCV's YAML."""
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    storage.startWriteStruct("names", cv2.FileNode_SEQ)
    for by in cameras:
        storage.write("", by.name)
    storage.endWriteStruct()
    for by in cameras:
        storage.write(f"K_{by.name}", by.K - np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]))
        storage.write(f"dist_{by.name}", by.distortion)
        storage.write(f"Rot_{by.name}", by.R)
        storage.write(f"T_{by.name}", by.t)
        storage.write(f"size_{by.name}", np.array([SIZE], np.float64))
    storage.release()


def seen(by: Camera, vertices: np.ndarray, id: int = 1) -> Person:
    """The person that `by` sees: landmarks, mask and dense map of the body at `vertices`, m, in the world."""
    depth = vertices @ by.R[2] + by.t[2]
    px = by.project(vertices)
    scale = by.K[0, 0] / depth.mean()
    drawn = np.column_stack([px, (depth - depth.mean()) * scale]).astype(np.float32)
    x0, y0 = px.min(0) - 4
    side = float((px.max(0) - px.min(0)).max() + 8)
    to_image = np.array([[side / PIXELS, 0, x0], [0, side / PIXELS, y0]])
    picture = render(drawn, cv2.invertAffineTransform(to_image), PIXELS)
    inside = np.where(picture.part > 0, 255, 0).astype(np.uint8)
    landmarks = np.column_stack([by.project(landmarks_on(vertices)), np.ones(33)]).astype(np.float32)
    box = np.array([*px.min(0), *px.max(0)], np.float32)
    return Person(
        box,
        0.9,
        id,
        Mask(inside, to_image),
        landmarks,
        np.zeros((33, 4), np.float32),
        dense=Dense(picture.part, picture.uv, inside, to_image),
    )


def result(index: int, *people: Person) -> Result:
    return Result(index, Fraction(index, 60), SIZE, people)


def body(x: float = 0.0, z: float = 0.0) -> np.ndarray:
    """The rest body, standing elsewhere."""
    return load().vertices + np.array([x, 0, z], np.float32)
