"""How the camera sees, as far as the user, a picture or a calibration tells: where each pixel looks, what is up."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bodystream.errors import UsageError
from bodystream.models.body.kinematics import JOINT_PARENTS, JOINTS
from bodystream.models.body.skeleton import BONES, PARENTS, SEGMENTS
from bodystream.pipeline.calibration import Camera, Doubles, read_cameras
from bodystream.pipeline.types import SourceInfo

# What a camera of which nothing is known is taken for. Webcams and phones have 55 to 75 over the long side; a
# wrong one makes everybody's distance wrong in proportion, and hardly changes their pose.
DEFAULT_FOV = 60.0  # degrees
LEVEL = (0.0, -1.0, 0.0)  # up, in the axes of a camera that is held level


@dataclass(frozen=True, slots=True)
class Lens:
    """One camera, for pictures of any size.

    `camera` is a calibrated one; else `focal_px` is known, or the field of view over the long side, degrees, is
    taken for it. `origin` says where that is from, `is_guess` that it is from nowhere. `up`: unit (3,), in the
    camera's axes (x right, y down, z away).
    """

    fov: float
    focal_px: float | None
    camera: Camera | None
    origin: str
    is_guess: bool
    up: Doubles
    up_origin: str

    def of(self, size: tuple[int, int]) -> Camera:
        """The camera of pictures of `size`, (width, height), px. Where it stands is known if it is calibrated."""
        if self.camera is not None:
            return self.camera.fitted(size)
        width, height = size
        focal_px = self.focal_px or 0.5 * max(size) / np.tan(np.radians(self.fov) / 2)
        matrix = np.array([[focal_px, 0, width / 2], [0, focal_px, height / 2], [0, 0, 1]])
        return Camera(self.origin, size, matrix, np.zeros(4), np.eye(3), np.zeros(3))


GUESS = Lens(
    fov=DEFAULT_FOV,
    focal_px=None,
    camera=None,
    origin=f"a guess: {DEFAULT_FOV:g}° over the long side",
    is_guess=True,
    up=np.array(LEVEL),
    up_origin="the camera is taken as level",
)


def open_lens(
    source: SourceInfo,
    *,
    focal_px: float | None = None,
    fov: float | None = None,
    calibration: Path | None = None,
    camera: str | None = None,
    up: str | None = None,
) -> Lens:
    """The lens that the user names, at most one way; else that of the pictures' EXIF; else the default.

    `camera` is the one of the calibration's that filmed this; without it the source's name has to tell. `up` is
    "x,y,z" in the camera's axes, or an axis of the calibration such as "z" or "-y". Raises UsageError, and what
    reading a calibration raises.
    """
    named = [
        flag
        for flag, value in (("--focal-px", focal_px), ("--fov", fov), ("--calibration", calibration))
        if value
    ]
    if len(named) > 1:
        raise UsageError(f"{' and '.join(named)} both tell how the camera sees; leave one out")
    if camera is not None and calibration is None:
        raise UsageError("--camera chooses among the cameras of a --calibration; add that")
    found = None if calibration is None else _chosen(read_cameras(calibration), camera, source.name)
    towards, up_origin = _up(up, found)
    lens = replace(GUESS, is_guess=False, up=towards, up_origin=up_origin)
    if found is not None:
        return replace(lens, camera=found, origin=f"camera {found.name} of {calibration}")
    if focal_px is not None:
        return replace(lens, focal_px=focal_px, origin="--focal-px")
    if fov is not None:
        return replace(lens, fov=fov, origin=f"--fov: {fov:g}° over the long side")
    if source.focal_px is not None:
        return replace(lens, focal_px=source.focal_px, origin="EXIF")
    return replace(lens, is_guess=True)


def lens_of(camera: Camera) -> Lens:
    """The lens of a calibrated camera; up is z of the calibration, as such files have it."""
    up, up_origin = _up(None, camera)
    return Lens(DEFAULT_FOV, None, camera, f"calibration: {camera.name}", False, up, up_origin)


def header_keys(
    lens: Lens, source: SourceInfo, height_m: float | None, sizes: str = "estimated from the landmarks"
) -> dict[str, Any]:
    """What the results' header says of poses in space: the camera, names, and whether metres can be trusted.

    `sizes` tells where people's come from if not from `height_m`.
    """
    camera = lens.of((source.width, source.height))
    told = {
        "focal_px": [round(float(camera.K[i, i]), 3) for i in (0, 1)],
        "center": [round(float(camera.K[i, 2]), 3) for i in (0, 1)],
        "distortion": camera.distortion.tolist(),
        "from": lens.origin,
        "distances": "not calibrated: in proportion to a guessed focal length"
        if lens.is_guess
        else "calibrated",
        "sizes": "from --height-m" if height_m else f"{sizes}, and distances in proportion",
        "up": [round(float(each), 6) for each in lens.up],
        "up_from": lens.up_origin,
    }
    if lens.camera is not None:
        told |= {"R": camera.R.tolist(), "t": camera.t.tolist()}
    skeleton = {"segments": SEGMENTS, "segment_parents": PARENTS, "bones": BONES}
    return {"camera": told, "joints": JOINTS, "parents": JOINT_PARENTS} | skeleton


def _chosen(cameras: Sequence[Camera], name: str | None, source: str) -> Camera:
    """The camera of that name, or the only one, or the one whose name the source's holds."""
    known = ", ".join(camera.name for camera in cameras)
    if name is not None:
        found = [camera for camera in cameras if camera.name == name]
        trouble = f"--camera {name}: the calibration has {known}"
    else:
        named = [camera for camera in cameras if camera.name and camera.name in source]
        found = list(cameras) if len(cameras) == 1 else named
        trouble = (
            f"the calibration has {known}, and {source} does not tell which of them filmed it; add --camera"
        )
    if len(found) != 1:
        raise UsageError(trouble)
    return found[0]


def _up(text: str | None, camera: Camera | None) -> tuple[Doubles, str]:
    """Up as a unit vector (3,) in the camera's axes, and where that is from."""
    if text is None and camera is None:
        return GUESS.up, GUESS.up_origin
    axis = "z" if text is None else text.strip().lower()
    letter = axis.lstrip("+-")
    if letter in ("x", "y", "z"):
        if camera is None:
            raise UsageError(
                f"--up {text} is an axis of a calibration; add --calibration, or give --up x,y,z"
            )
        world = np.eye(3)["xyz".index(letter)] * (-1 if axis.startswith("-") else 1)
        return camera.R @ world, f"{axis} of the calibration" + ("" if text else ", as such files have it")
    try:
        vector = np.array([float(each) for each in axis.split(",")])
    except ValueError:
        vector = np.zeros(0)
    if vector.shape != (3,) or not np.linalg.norm(vector) > 0:
        raise UsageError(f"--up {text}: expected x,y,z in the camera's axes, such as 0,-1,0.2, or z, -y ...")
    return vector / np.linalg.norm(vector), "--up"
