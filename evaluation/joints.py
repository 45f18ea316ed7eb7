"""The joints that 3D pose is judged by, and where they are in what a person's record holds."""

import numpy as np

from bodystream.models.body import kinematics
from bodystream.models.keypoints import KEYPOINTS
from bodystream.pipeline.calibration import Camera, Doubles
from bodystream.pipeline.flips import LIMBS
from bodystream.pipeline.types import Person

# Twelve scored joints, and the ends of the feet, which only tell whether feet slide.
FEET_ENDS = ("left_heel", "right_heel", "left_toe", "right_toe")
SCORED: tuple[str, ...] = tuple(KEYPOINTS[i] for i in LIMBS)
JOINTS: tuple[str, ...] = (*SCORED, *FEET_ENDS)
# landmarks[LANDMARKS] are JOINTS: int (16,)
LANDMARKS = np.array([*LIMBS, *(KEYPOINTS.index(n.replace("toe", "foot_index")) for n in FEET_ENDS)])
_OF_POSE = np.array([kinematics.JOINTS.index(name) for name in JOINTS])


def indices(*names: str) -> list[int]:
    """Where joints stand in JOINTS."""
    return [JOINTS.index(name) for name in names]


HIPS = indices("left_hip", "right_hip")


def joints_of(person: Person, camera: Camera | None = None) -> Doubles:
    """JOINTS of a person in the camera's axes: (16, 3) m, NaN where nothing is known.

    Those of the fitted skeleton, if there is one. Else world landmarks, put where the camera sees them; they
    hang on the mid hips if no camera is given.
    """
    if person.pose3d is not None:
        return person.pose3d.joints[_OF_POSE, :3].astype(np.float64)
    if person.world is None:
        return np.full((len(JOINTS), 3), np.nan)
    points = person.world[LANDMARKS, :3].astype(np.float64)
    if camera is None or person.landmarks is None:
        return points
    return points + shift_into_view(points, person.landmarks[LANDMARKS].astype(np.float64), camera)


def shift_into_view(points: Doubles, seen: Doubles, camera: Camera) -> Doubles:
    """The shift (3,) that brings points (J, 3), m, in the camera's axes, closest to the rays of what is seen.

    `seen` is (J, 3): px and confidence, by which each counts. Linear least squares of the distances to the rays.
    """
    if not (np.isfinite(points).all() and np.isfinite(seen).all()):
        return np.full(3, np.nan)
    rays = camera.rays(seen[:, :2]) @ camera.R.T
    across = seen[:, 2, None, None] * (np.eye(3) - rays[:, :, None] * rays[:, None, :])  # (J, 3, 3)
    return np.asarray(
        -np.linalg.solve(across.sum(0) + 1e-9 * np.eye(3), (across @ points[..., None]).sum(0))[:, 0]
    )
