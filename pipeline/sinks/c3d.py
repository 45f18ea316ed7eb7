"""Marker trajectories for movement laboratories: `.c3d`, written by ezc3d, one file a person."""

import errno
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np

from bodystream.pipeline.bones import MARKERS, markers
from bodystream.pipeline.clip import Motion

BLOCK = 512  # bytes; a file is counted in these (c3d.org, The C3D file format, 2.1)
MOST_FRAMES = 65_535  # that a header can count; readers that do not know POINT:LONG_FRAMES go no further
POINT = 16  # bytes of a point in one frame: four 32-bit floats


def write_c3d(path: Path, motion: Motion) -> None:
    """Write HALPE_26's markers in mm, y up; in gaps they are invalid points (residual -1).

    Raises OSError where the disk took less than all: ezc3d itself would not tell.
    """
    import ezc3d  # not at the top: it has no wheel for some platforms

    places = np.concatenate([np.zeros((0, len(MARKERS), 3), np.float32), *markers(motion)])  # (T, 22, 3)
    gaps = np.isnan(places).any(-1)
    file = ezc3d.c3d()
    _put(file, "POINT", "RATE", [float(motion.clock.rate)])
    _put(file, "POINT", "LABELS", list(MARKERS))
    _put(file, "POINT", "UNITS", ["mm"])
    file.add_parameter("POINT", "X_SCREEN", "+X")
    file.add_parameter("POINT", "Y_SCREEN", "+Y")
    file.add_parameter("MANUFACTURER", "SOFTWARE", "bodystream")
    if len(places) > MOST_FRAMES:
        file.add_parameter("POINT", "LONG_FRAMES", [float(len(places))])
    homogeneous = np.ones((4, len(MARKERS), len(places)))
    homogeneous[:3] = 1000 * places.transpose(2, 1, 0)
    file["data"]["points"] = homogeneous
    residuals = np.where(gaps, -1.0, 0.0).T[None]  # (1, 22, T)
    file["data"]["meta_points"]["residuals"] = residuals
    file["data"]["meta_points"]["camera_masks"] = np.zeros((7, *residuals.shape[1:]), bool)
    file.write(str(path))
    with path.open("rb") as written:
        (first,) = struct.unpack_from("<H", written.read(BLOCK).ljust(BLOCK, b"\0"), 16)
    if path.stat().st_size < (first - 1) * BLOCK + gaps.size * POINT:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _put(file: Any, group: str, name: str, value: list[Any]) -> None:
    file["parameters"][group][name]["value"] = value
