"""Calibrated cameras: read from the files of Qualisys, Pose2Sim and OpenCV; rays and projections.

A camera takes world points X, m, to x = R X + t, seen along +z, y down, and these through K to pixels.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from bodystream.errors import SourceNotFound, SourceUnreadable

Doubles = NDArray[np.float64]

SUBPIXELS = 64  # Qualisys counts the focal length and the centre in 1/64 px
# Calibration programs count pixel centres as whole numbers, bodystream the corners.
HALF_PX = 0.5
LOOKS_BACK = np.diag([1.0, -1.0, -1.0])  # Qualisys' cameras look along -z, y up; OpenCV's along +z, y down
FORMATS = "a Qualisys .qca.txt, a Pose2Sim .toml, an OpenCV .yml, or a folder with intri.yml and extri.yml"


@dataclass(frozen=True, slots=True)
class Camera:
    """One calibrated camera; lengths in m, K in continuous pixels (whole numbers are corners of pixels)."""

    name: str
    size: tuple[int, int]  # width, height, px; (0, 0) where the file does not tell
    K: Doubles  # (3, 3)
    distortion: Doubles  # (4,) or more: k1 k2 p1 p2 ..., OpenCV's
    R: Doubles  # (3, 3) world to camera
    t: Doubles  # (3,)

    @property
    def centre(self) -> Doubles:
        """Where the camera stands in the world: (3,), m."""
        return -self.R.T @ self.t

    def straight(self, pixels: ArrayLike) -> Doubles:
        """x / z and y / z, (N, 2), in the camera's axes, of what is seen at continuous pixels (N, 2)."""
        points = np.asarray(pixels, np.float64).reshape(-1, 1, 2)
        if not len(points):
            return np.zeros((0, 2))
        return np.asarray(cv2.undistortPoints(points, self.K, self.distortion)[:, 0], np.float64)

    def rays(self, pixels: ArrayLike) -> Doubles:
        """Unit directions in the world, (N, 3), of what is seen at continuous pixels (N, 2)."""
        straight = self.straight(pixels)
        rays = np.concatenate([straight, np.ones((len(straight), 1))], axis=1) @ self.R
        return rays / np.linalg.norm(rays, axis=1, keepdims=True)

    def project(self, points: ArrayLike) -> Doubles:
        """Continuous pixels (N, 2) of world points (N, 3), m."""
        world = np.asarray(points, np.float64).reshape(-1, 1, 3)
        if not len(world):
            return np.zeros((0, 2))
        pixels, _ = cv2.projectPoints(world, cv2.Rodrigues(self.R)[0], self.t, self.K, self.distortion)
        return pixels[:, 0].astype(np.float64)

    def fitted(self, size: tuple[int, int]) -> "Camera":
        """The camera of pictures of another size, (width, height): scaled to fit into it, bars on both sides.

        Nothing is changed where the calibration tells no size. Source: Pose2Sim's cameras 1 and 2, calibrated at
        1088×1920, filmed at 1080×1920; their frames register onto the calibration's pictures in this way.
        """
        if not all(self.size) or size == self.size:
            return self
        scale = min(size[0] / self.size[0], size[1] / self.size[1])
        bars = (np.array(size) - scale * np.array(self.size)) / 2
        placed = np.array([[scale, 0, bars[0]], [0, scale, bars[1]], [0, 0, 1]]) @ self.K
        return replace(self, size=size, K=placed)


def gaps(a: Camera, rays_a: Doubles, b: Camera, rays_b: Doubles) -> Doubles:
    """How far rays (N, 3) of two cameras miss each other: (N,), m."""
    across = np.cross(rays_a, rays_b)
    length = np.maximum(np.linalg.norm(across, axis=1), 1e-12)
    return np.abs(across @ (b.centre - a.centre)) / length


def meeting_points(a: Camera, rays_a: Doubles, b: Camera, rays_b: Doubles) -> Doubles:
    """The middle between rays (N, 3) of two cameras where they come closest: (N, 3), m."""
    between = b.centre - a.centre
    cosine = (rays_a * rays_b).sum(1)
    along_a, along_b = rays_a @ between, rays_b @ between
    below = np.maximum(1 - cosine**2, 1e-12)
    depth_a = (along_a - cosine * along_b) / below
    depth_b = (cosine * along_a - along_b) / below
    return ((a.centre + depth_a[:, None] * rays_a) + (b.centre + depth_b[:, None] * rays_b)) / 2


def read_cameras(path: Path) -> tuple[Camera, ...]:
    """Read a calibration: `FORMATS`, told apart by suffix. Raises SourceNotFound, SourceUnreadable."""
    if not path.exists():
        raise SourceNotFound(f"no calibration at {path}; expected {FORMATS}")
    readers = {".txt": _read_qualisys, ".xml": _read_qualisys, ".toml": _read_pose2sim}
    try:
        return readers.get(path.suffix.lower(), _read_opencv)(path)
    except (
        ElementTree.ParseError,
        tomllib.TOMLDecodeError,
        UnicodeDecodeError,
        cv2.error,
        SystemError,
    ) as exc:
        # SystemError: what OpenCV 5's FileStorage raises in Python for a file it cannot parse.
        raise SourceUnreadable(f"{path} is not a calibration ({exc}); expected {FORMATS}") from exc
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        lacking = f"{type(exc).__name__}: {exc}"
        raise SourceUnreadable(f"{path} lacks what a camera needs ({lacking}); expected {FORMATS}") from exc


def of_videos(cameras: Sequence[Camera], names: Sequence[str]) -> list[Camera]:
    """The camera of each video: the one whose name the video's holds, else by order where the numbers agree.

    Raises SourceUnreadable where neither tells.
    """
    named = [[camera for camera in cameras if camera.name and camera.name in name] for name in names]
    found = [those[0] for those in named if len(those) == 1]
    if len(found) == len(names) == len({camera.name for camera in found}):
        return found
    if len(cameras) == len(names):
        return list(cameras)
    raise SourceUnreadable(
        f"{len(names)} videos and {len(cameras)} cameras ({', '.join(c.name for c in cameras)}): name each video "
        "after its camera, or give one for every camera, in the order of the calibration"
    )


def _read_qualisys(path: Path) -> tuple[Camera, ...]:
    """Read Qualisys Track Manager's XML: positions in mm, focal length and centre in 1/64 px."""
    cameras = ElementTree.parse(path).getroot().findall("cameras/camera")
    if not cameras:
        raise ValueError("no <camera>")
    return tuple(_qualisys_camera(camera) for camera in cameras)


def _qualisys_camera(camera: ElementTree.Element) -> Camera:
    def numbers(element: str, *names: str) -> Doubles:
        found = camera.find(element)
        if found is None:
            raise ValueError(f"no <{element}>")
        return np.array([float(found.attrib[name]) for name in names])

    left, top, right, bottom = numbers("fov_video", "left", "top", "right", "bottom")
    fu, fv, cu, cv = (
        numbers("intrinsic", "focalLengthU", "focalLengthV", "centerPointU", "centerPointV") / SUBPIXELS
    )
    radial = numbers("intrinsic", "radialDistortion1", "radialDistortion2")
    tangential = numbers("intrinsic", "tangentalDistortion1", "tangentalDistortion2")
    rows = [f"r{row}{column}" for row in (1, 2, 3) for column in (1, 2, 3)]
    rotation = LOOKS_BACK @ numbers("transform", *rows).reshape(3, 3)
    centre = numbers("transform", "x", "y", "z") / 1000
    return Camera(
        camera.attrib["serial"],
        (int(right - left) + 1, int(bottom - top) + 1),  # the last pixel is named, not the one behind it
        _intrinsics(fu, fv, cu - left, cv - top),
        np.concatenate([radial, tangential]),
        rotation,
        -rotation @ centre,
    )


def _read_pose2sim(path: Path) -> tuple[Camera, ...]:
    """Read Pose2Sim's TOML (that of aniposelib): a table a camera, the rotation as a Rodrigues vector."""
    with path.open("rb") as file:
        tables = tomllib.load(file)
    cameras = tuple(_pose2sim_camera(table) for name, table in tables.items() if name != "metadata")
    if not cameras:
        raise ValueError("no camera")
    return cameras


def _pose2sim_camera(table: dict[str, Any]) -> Camera:
    if table.get("fisheye"):
        raise ValueError(f"{table['name']} is a fisheye, which is not supported")
    width, height = (round(float(side)) for side in table["size"])
    # Pose2Sim's converter of Qualisys files writes the last pixel's number; no camera's both sides are odd.
    more = width % 2 and height % 2
    return _camera(
        str(table["name"]),
        (width + more, height + more),
        table["matrix"],
        table["distortions"],
        table["rotation"],
        table["translation"],
    )


def _read_opencv(path: Path) -> tuple[Camera, ...]:
    """Read OpenCV's YAML, XML or JSON with the nodes of EasyMocap: names, K_x, dist_x, Rot_x or R_x, T_x."""
    files = [path / "intri.yml", path / "extri.yml"] if path.is_dir() else [path]
    nodes: dict[str, Any] = {}
    for file in files:
        if not file.is_file():
            raise ValueError(f"no {file.name}")
        storage = cv2.FileStorage(str(file), cv2.FILE_STORAGE_READ)
        root = storage.root()
        nodes |= {key: root.getNode(key) for key in root.keys()}  # noqa: SIM118 - a FileNode is no mapping
    names = nodes["names"]
    return tuple(_opencv_camera(names.at(i).string(), nodes) for i in range(names.size()))


def _opencv_camera(name: str, nodes: dict[str, Any]) -> Camera:
    size = nodes.get(f"size_{name}")
    rotation = nodes.get(f"Rot_{name}") or nodes[f"R_{name}"]
    width, height = (0, 0) if size is None else (round(side) for side in np.ravel(size.mat()))
    return _camera(
        name,
        (width, height),
        nodes[f"K_{name}"].mat(),
        nodes[f"dist_{name}"].mat(),
        rotation.mat(),
        nodes[f"T_{name}"].mat(),
    )


def _camera(
    name: str,
    size: tuple[int, int],
    matrix: ArrayLike,
    distortion: ArrayLike,
    rotation: ArrayLike,
    translation: ArrayLike,
) -> Camera:
    """A camera in OpenCV's terms; `rotation` is (3, 3) or a Rodrigues vector."""
    k = np.asarray(matrix, np.float64).reshape(3, 3)
    turned = np.asarray(rotation, np.float64)
    r = (
        turned.reshape(3, 3)
        if turned.size == 9
        else np.asarray(cv2.Rodrigues(turned.reshape(3))[0], np.float64)
    )
    t = np.asarray(translation, np.float64).reshape(3)
    return Camera(
        name,
        size,
        _intrinsics(k[0, 0], k[1, 1], k[0, 2], k[1, 2]),
        np.asarray(distortion, np.float64).ravel(),
        r,
        t,
    )


def _intrinsics(fx: float, fy: float, cx: float, cy: float) -> Doubles:
    return np.array([[fx, 0, cx + HALF_PX], [0, fy, cy + HALF_PX], [0, 0, 1]])
