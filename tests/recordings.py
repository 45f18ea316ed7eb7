"""Small results to write and read back, the same for every format."""

from fractions import Fraction
from pathlib import Path

import numpy as np

from bodystream.models.body.kinematics import JOINTS, joints_at, posed, skeleton_of
from bodystream.models.body.parts import PARTS
from bodystream.pipeline.types import (
    Dense,
    End,
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
from bodystream.training.poses import sampled_pose

KEYPOINTS = tuple(f"point {i}" for i in range(33))
WIDTH, HEIGHT = 64, 48
NTSC = Fraction(30000, 1001)
EXTRA = {
    "parts": list(PARTS),
    "surface": {"name": "bodystream-anny", "sha256": "cd" * 32},
    "camera": {"up": [0.0, -1.0, 0.0], "focal_px": [50.0, 50.0], "center": [32.0, 24.0]},
    "joints": list(JOINTS),
}


def header(**changes: object) -> Header:
    info = {
        "name": "dance.mp4",
        "width": WIDTH,
        "height": HEIGHT,
        "rate": NTSC,
        "live": False,
        "length": 4,
        "path": Path("footage/dance.mp4"),
        "notes": ("rotated by 90 degrees",),
    } | changes
    model = ModelInfo("detect", "picodet-s", "ab" * 32, "CPUExecutionProvider", "fp32", (1, 3, 416, 416))
    settings = {"detect": "picodet-s", "every": 10}
    return Header(SourceInfo(**info), (model,), settings, KEYPOINTS, dict(EXTRA))


def person(
    number: int, *, mask: bool = True, landmarks: bool = True, pose: bool = False, joints: int = 33
) -> Person:
    """A person whose numbers are all different and whose mask is a known rectangle with a notch.

    The dense map, where there is a mask, covers its rectangle with pixels of 2 px: a torso over a leg.
    """
    x, y = 4 + 12 * (number % 4), 3 + number
    inside = np.full((20, 8), 255, np.uint8)
    inside[5:9, 2:4] = 0
    points = np.arange(3 * joints, dtype=np.float32).reshape(joints, 3) / 7 + number
    points[:, 2] = np.linspace(0, 1, joints)
    world = np.arange(4 * joints, dtype=np.float32).reshape(joints, 4) / 1000 - 0.06
    world[:, 3] = np.linspace(1, 0, joints)
    return Person(
        box=np.array([x, y, x + 8.123, y + 20.456], np.float32),
        score=0.91234 - number / 100,
        id=number + 1,
        mask=Mask(inside, np.array([[1.0, 0, x], [0, 1, y]])) if mask else None,
        landmarks=points if landmarks else None,
        world=world if landmarks else None,
        dense=dense(x, y, number) if mask else None,
        pose3d=pose3d(number) if pose else None,
    )


def dense(x: float, y: float, number: int = 0) -> Dense:
    """A map (10, 4) whose pixels are 2 px, from (x, y) on: part 2 over part 10, U to the right, V down."""
    part = np.repeat(np.array([[2], [10]], np.uint8), 5, axis=0).repeat(4, axis=1)
    v, u = (np.mgrid[0:10, 0:4] + 0.5).astype(np.float32) / np.array([10, 4], np.float32)[:, None, None]
    confidence = np.arange(40, dtype=np.uint8).reshape(10, 4) + np.uint8(200 + number)
    return Dense(part, np.stack([u, v]), confidence, np.array([[2.0, 0, x], [0, 2, y]]))


def pose3d(number: int = 0) -> Pose3d:
    """A pose whose numbers are all different: somebody of 1.6 m or so, 4 m away."""
    turns = sampled_pose(np.random.default_rng(number))
    lengths = (np.array([0.48, 0.33, 0.19, 0.27, 0.25, 0.4, 0.39]) * (1 + number / 50)).astype(np.float32)
    root = np.array([0.3 * number - 0.2, 0.1, 4 + number], np.float32)
    joints = joints_at(*posed(skeleton_of(lengths), turns, root))
    confidence = np.linspace(0, 1, len(joints), dtype=np.float32)
    return Pose3d(np.column_stack([joints, confidence]), root, turns, lengths)


def result(index: int, *people: Person, **changes: object) -> Result:
    start_ns = 1_000_000_000 + index * 33_000_000
    spans = (
        Span("decode", index, start_ns, 0, 2_000_000),
        Span("detect", index, start_ns + 2_000_000, 5_000, 9_000_000),
    )
    fields = {"index": index, "pts": index / NTSC, "size": (WIDTH, HEIGHT), "people": people, "spans": spans}
    return Result(**(fields | changes))


def end(**changes: object) -> End:
    rows = (
        Row("decode", 4, 2.0, 2.5, 2.75, 3.0, 0.0, 0.0),
        Row("detect", 4, 9.0, 9.5, 9.75, 10.0, 0.1, 0.2, 4.5),
    )
    fields = {
        "frames": 4,
        "dropped": {"busy": 2},
        "failed": None,
        "rows": rows,
        "fps": 29.5,
        "people_mean": 1.5,
    }
    return End(**(fields | changes))


def four_results(*, pose: bool = False) -> list[Result]:
    """No people, one, many, and one whom only the detector has seen."""
    return [
        result(0),
        result(1, person(0, pose=pose), events=("scene cut",)),
        result(
            2,
            *(person(i, pose=pose) for i in range(4)),
            dropped_before=2,
            events=("quality: detector every 10 frames",),
        ),
        result(3, person(1, mask=False, landmarks=False), file="000003.jpg"),
    ]
