"""Motion capture that results are compared with: TRC, C3D and NPZ files, and OpenPose's keypoints.

Marker names are mapped to the joints in one table, `MARKERS`; markers that it lacks are left out.
"""

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bodystream.errors import ResultsError, SourceNotFound, SourceUnreadable
from bodystream.evaluation.joints import JOINTS, joints_of
from bodystream.evaluation.pose3d import Motion
from bodystream.models.keypoints import KEYPOINTS
from bodystream.pipeline.calibration import Doubles
from bodystream.pipeline.record import Recording
from bodystream.pipeline.types import Floats

FORMATS = "a .trc, a .c3d, or an .npz with names, times and joints (docs/evaluation.md)"
METRES = {"m": 1.0, "dm": 0.1, "cm": 0.01, "mm": 0.001}


def _sided(names: Mapping[str, str]) -> dict[str, str]:
    """Marker names with R and L before them, to joints of the right and the left."""
    return {
        f"{letter}{marker}": f"{side}_{joint}"
        for letter, side in (("L", "left"), ("R", "right"))
        for marker, joint in names.items()
    }


# Marker to joint. Pose2Sim's names are those of its keypoint models and TRC files; *JC are the joint centres of
# OpenSim's marker sets (Rajagopal et al., 2016; Pose2Sim's LSTM augmentation adds _study to some).
MARKERS: Mapping[str, str] = {
    **_sided({"Shoulder": "shoulder", "Elbow": "elbow", "Wrist": "wrist", "Hip": "hip", "Knee": "knee"}),
    **_sided({"Ankle": "ankle", "Heel": "heel", "BigToe": "toe"}),
    **_sided(
        {"SJC": "shoulder", "EJC": "elbow", "WJC": "wrist", "HJC": "hip", "KJC": "knee", "AJC": "ankle"}
    ),
    **_sided({"HJC_study": "hip"}),
    **{name.replace("toe", "foot_index"): name for name in JOINTS},  # the landmarks' own names
    **{name: name for name in JOINTS},
}


def read_reference(path: Path, offset_s: float = 0.0) -> Motion:
    """Read a reference: `FORMATS`, told apart by suffix; its times are moved by `offset_s`.

    With an offset of 0.5 the file's time 0 is the results' time 0.5. Raises SourceNotFound, SourceUnreadable.
    """
    if not path.exists():
        raise SourceNotFound(f"no reference at {path}; expected {FORMATS}")
    readers = {".trc": _read_trc, ".c3d": _read_c3d, ".npz": _read_npz}
    if path.suffix.lower() not in readers:
        raise SourceUnreadable(f"{path} is no reference that can be read; expected {FORMATS}")
    try:
        names, times, points = readers[path.suffix.lower()](path)
        motion = Motion(times + offset_s, _joints(names, points))
    except (
        KeyError,
        IndexError,
        TypeError,
        ValueError,
        UnicodeDecodeError,
        OSError,
        zipfile.BadZipFile,
    ) as exc:
        raise SourceUnreadable(
            f"{path} is not a reference ({type(exc).__name__}: {exc}); expected {FORMATS}"
        ) from exc
    if not len(motion.times) or (np.diff(motion.times) <= 0).any():
        raise SourceUnreadable(f"{path}: its times do not rise, or it has none")
    return motion


def _joints(names: Sequence[str], points: Doubles) -> Doubles:
    """JOINTS (F, 16, 3) out of named markers (F, M, 3). Raises ValueError where no hips are among them."""
    out = np.full((len(points), len(JOINTS), 3), np.nan)
    for column, name in enumerate(names):
        if joint := MARKERS.get(name.rpartition(":")[2]):  # "walker:RHip" in files of several people
            out[:, JOINTS.index(joint)] = points[:, column]
    lacking = [name for name in ("left_hip", "right_hip") if np.isnan(out[:, JOINTS.index(name)]).all()]
    if lacking:
        raise ValueError(f"no marker of {' and '.join(lacking)} among {', '.join(names[:8])} ...")
    return out


def _read_trc(path: Path) -> tuple[list[str], Doubles, Doubles]:
    """Read Motion Analysis' TRC: tab separated, five lines of head, a blank is a gap."""
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    head = dict(zip(lines[1].split("\t"), lines[2].split("\t"), strict=False))
    scale = METRES[head["Units"].strip()]
    names = [name.strip() for name in lines[3].split("\t")[2:] if name.strip()]
    rows = [_trc_row(line, len(names)) for line in lines[5:] if line.strip()]
    table = np.array(rows, np.float64).reshape(len(rows), 1 + 3 * len(names))
    return names, table[:, 0], scale * table[:, 1:].reshape(len(rows), len(names), 3)


def _trc_row(line: str, markers: int) -> list[float]:
    """Time and coordinates of a line; blanks are NaN, at its end they may be left out."""
    cells = line.split("\t")[1 : 2 + 3 * markers]
    cells += [""] * (1 + 3 * markers - len(cells))
    return [float(cell) if cell.strip() else np.nan for cell in cells]


def _read_c3d(path: Path) -> tuple[list[str], Doubles, Doubles]:
    """Read C3D by ezc3d; a point with a negative residual is a gap."""
    try:
        import ezc3d
    except ImportError as error:
        raise SourceUnreadable(
            f"{path}: C3D files need the package ezc3d, which has no wheel here; build it, or give a TRC or an NPZ"
        ) from error
    file: Any = ezc3d.c3d(str(path))
    scale = METRES[file["parameters"]["POINT"]["UNITS"]["value"][0].strip()]
    names = [str(name).strip() for name in file["parameters"]["POINT"]["LABELS"]["value"]]
    points = np.moveaxis(np.asarray(file["data"]["points"][:3], np.float64), 0, -1).swapaxes(
        0, 1
    )  # (F, M, 3)
    residuals = np.asarray(file["data"]["meta_points"]["residuals"])[0].T  # (F, M)
    points = np.where((residuals < 0)[..., None], np.nan, scale * points)
    rate, first = float(file["header"]["points"]["frame_rate"]), int(file["header"]["points"]["first_frame"])
    return names, (first + np.arange(len(points))) / rate, points[:, : len(names)]


def _read_npz(path: Path) -> tuple[list[str], Doubles, Doubles]:
    """Read arrays: names (M,) str, times (F,) s, joints (F, M, 3) m."""
    with np.load(path, allow_pickle=False) as file:
        names = [str(name) for name in file["names"]]
        times, joints = (np.asarray(file[key], np.float64) for key in ("times", "joints"))
    return names, times.reshape(-1), joints.reshape(len(times), len(names), 3)


# The landmarks that OpenPose's keypoints are nearest to, in its own order ("" for none).
LAYOUTS: Mapping[str, tuple[str, ...]] = {
    # github.com/CMU-Perceptual-Computing-Lab/openpose_train, BODY_25B: COCO's 17, then neck, head and feet
    "body-25b": tuple(
        "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist "
        "right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle - - left_foot_index - left_heel "
        "right_foot_index - right_heel".replace("-", "").split(" ")
    ),
    "body-25": tuple(
        "nose - right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist - right_hip right_knee "
        "right_ankle left_hip left_knee left_ankle right_eye left_eye right_ear left_ear left_foot_index - left_heel "
        "right_foot_index - right_heel".replace("-", "").split(" ")
    ),
}  # fmt: skip


def read_keypoints(place: Path, cameras: Sequence[str], layout: str) -> list[list[list[Floats]]]:
    """What OpenPose saw: for each camera, frame by frame, the people's landmarks (33, 3), px and confidence.

    `place` is a folder, or a zip with one in it, that holds a folder of JSON files for each camera: the one
    whose files bear the camera's name. NaN for landmarks that the layout lacks. Raises SourceNotFound,
    SourceUnreadable.
    """
    if not place.exists():
        raise SourceNotFound(f"no keypoints at {place}")
    try:
        if place.is_dir():
            files = {str(file.relative_to(place)): file.read_bytes() for file in place.rglob("*.json")}
        else:
            with zipfile.ZipFile(place) as archive:
                files = {name: archive.read(name) for name in archive.namelist() if name.endswith(".json")}
        return [
            [_people(json.loads(files[name]), layout) for name in names]
            for names in _by_camera(place, sorted(files), cameras)
        ]
    except (KeyError, TypeError, ValueError, zipfile.BadZipFile) as exc:
        raise SourceUnreadable(
            f"{place} holds no keypoints of OpenPose ({type(exc).__name__}: {exc}); expected JSON files in a folder "
            "a camera"
        ) from exc


def _by_camera(place: Path, files: Sequence[str], cameras: Sequence[str]) -> list[list[str]]:
    """The files of each camera, all out of the first folder that has some of every camera."""
    groups: dict[str, dict[str, list[str]]] = {}
    for file in files:
        folder, _, name = file.rpartition("/")
        for camera in cameras:
            if camera in name or camera in folder.rpartition("/")[2]:
                groups.setdefault(folder.rpartition("/")[0], {}).setdefault(camera, []).append(file)
    for found in groups.values():
        if len(found) == len(cameras):
            return [found[camera] for camera in cameras]
    raise SourceUnreadable(f"{place} has no folder with keypoints of all of {', '.join(cameras)}")


def _people(content: Mapping[str, Any], layout: str) -> list[Floats]:
    places = [(i, KEYPOINTS.index(name)) for i, name in enumerate(LAYOUTS[layout]) if name]
    people = []
    for person in content["people"]:
        seen = np.array(person["pose_keypoints_2d"], np.float32).reshape(len(LAYOUTS[layout]), 3)
        landmarks = np.full((len(KEYPOINTS), 3), np.nan, np.float32)
        for i, at in places:
            if seen[i, 2] > 0:  # OpenPose writes 0, 0, 0 for what it does not find
                landmarks[at] = seen[i]
        people.append(landmarks)
    return people


def motion_of(recording: Recording, person: int | None) -> tuple[int, Motion]:
    """Whom a results file is about, and their joints in the camera's axes; who is in most frames if not said.

    Raises ResultsError where there is nobody, or not that one, or nobody in three dimensions.
    """
    seen: dict[int, list[tuple[float, Doubles, bool]]] = {}
    for result in recording:
        for one in result.people:
            seen.setdefault(one.id, []).append((float(result.pts), joints_of(one), one.pose3d is not None))
    whom = person if person is not None else max(seen, key=lambda i: len(seen[i]), default=0)
    if whom not in seen:
        raise ResultsError(
            f"{recording.path} has no person {whom}; it has {', '.join(map(str, sorted(seen))) or 'nobody'}"
        )
    times, points, fitted = zip(*seen[whom], strict=True)
    motion = Motion(np.array(times), np.stack(points), placed=all(fitted))
    if not np.isfinite(motion.points).any():
        raise ResultsError(
            f"{recording.path}: person {whom} has neither a fitted skeleton nor world landmarks"
        )
    return whom, motion
