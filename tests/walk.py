"""A body that walks among calibrated cameras, and what perfect or broken nets would see of it."""

from fractions import Fraction

import numpy as np

from bodystream.models.body.skin import landmarks_on
from bodystream.pipeline.calibration import Camera
from bodystream.pipeline.types import Person, Result
from tests.scene import SIZE, body, camera

CAMERAS = [camera("cam1", 0), camera("cam2", 70), camera("cam3", 150), camera("cam4", 250)]
RATE = 60


def walk(frames: int = 60, x: float = 0.0) -> np.ndarray:
    """Landmarks of a body that walks to and fro and swings its limbs: (F, 33, 3) m, in the world."""
    points = np.repeat(landmarks_on(body(x))[None].astype(np.float64), frames, axis=0)
    phase = 2 * np.pi * np.arange(frames) / RATE
    for i in (13, 15, 17, 19, 21, 26, 28, 30, 32):
        points[:, i, 2] += 0.15 * np.sin(phase)
    for i in (14, 16, 18, 20, 22, 25, 27, 29, 31):
        points[:, i, 2] -= 0.15 * np.sin(phase)
    points[..., 0] += 0.2 * np.sin(phase / 2)[:, None]
    return points


def seen_by(by: Camera, points: np.ndarray, id: int = 1) -> Person:
    """Whom a perfect net sees of landmarks (33, 3) in the world: in the picture, and in the camera's axes."""
    px = by.project(points)
    mine = points @ by.R.T
    world = np.column_stack([mine - mine[[23, 24]].mean(0), np.ones(33)]).astype(np.float32)
    box = np.array([*px.min(0), *px.max(0)], np.float32)
    landmarks = np.column_stack([px, np.ones(33)]).astype(np.float32)
    return Person(box, 0.9, id, landmarks=landmarks, world=world)


def moments(*people: np.ndarray, cameras: list[Camera] = CAMERAS) -> list[list[list[Person]]]:
    """For every frame and camera, the people (F, 33, 3) as they are seen, with ids from 1."""
    return [
        [[seen_by(by, points[frame], i) for i, points in enumerate(people, 1)] for by in cameras]
        for frame in range(len(people[0]))
    ]


def results(by: Camera, *people: np.ndarray) -> list[Result]:
    return [
        Result(
            i, Fraction(i, RATE), SIZE, tuple(seen_by(by, points[i], n) for n, points in enumerate(people, 1))
        )
        for i in range(len(people[0]))
    ]
