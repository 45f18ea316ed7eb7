"""Motion capture from every format is the same motion; keypoints find their cameras."""

import json
import sys
import zipfile

import ezc3d
import numpy as np
import pytest

from bodystream.errors import SourceNotFound, SourceUnreadable
from bodystream.evaluation.joints import JOINTS
from bodystream.evaluation.references import LAYOUTS, MARKERS, read_keypoints, read_reference
from bodystream.models.keypoints import KEYPOINTS
from bodystream.pipeline import bones

NAMES = ["RHip", "LHip", "Spine", "LKnee", "RBigToe"]
POINTS = np.arange(2 * 5 * 3, dtype=np.float64).reshape(2, 5, 3) / 8  # exact in mm, of two frames
HEAD = "PathFileType\t4\t(X/Y/Z)\ta.trc\nDataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\n60\t60\t2\t5\t{unit}\n"


def trc(unit: str, scale: float) -> str:
    names = "Frame#\tTime\t" + "\t\t\t".join(NAMES) + "\t\t\n"
    axes = "\t\t" + "\t".join(f"{axis}{i}" for i in range(1, 6) for axis in "XYZ") + "\n"
    rows = [
        "\t".join([str(i + 1), str(i / 60), *(str(scale * value) for value in frame.ravel())]) + "\n"
        for i, frame in enumerate(POINTS)
    ]
    return HEAD.format(unit=unit) + names + axes + "".join(rows)


def write_c3d(path, unit="mm", scale=1000.0):
    file = ezc3d.c3d()
    file["parameters"]["POINT"]["RATE"]["value"] = [60.0]
    file["parameters"]["POINT"]["LABELS"]["value"] = [f"walker:{name}" for name in NAMES]
    file["parameters"]["POINT"]["UNITS"]["value"] = [unit]
    file["data"]["points"] = np.concatenate([scale * POINTS, np.ones((2, 5, 1))], axis=2).transpose(2, 1, 0)
    file.write(str(path))


@pytest.fixture(params=["m.trc", "mm.trc", "a.c3d", "a.npz"])
def file(request, tmp_path):
    path = tmp_path / request.param
    if path.suffix == ".trc":
        path.write_text(trc(path.stem, 1 if path.stem == "m" else 1000))
    elif path.suffix == ".c3d":
        write_c3d(path)
    else:
        np.savez(path, names=NAMES, times=np.arange(2) / 60, joints=POINTS)
    return path


def test_every_format_gives_the_same_motion(file):
    motion = read_reference(file, offset_s=0.5)
    np.testing.assert_allclose(motion.times, [0.5, 0.5 + 1 / 60])
    known = {"right_hip": 0, "left_hip": 1, "left_knee": 3, "right_toe": 4}
    for joint, name in enumerate(JOINTS):
        if name in known:
            np.testing.assert_allclose(motion.points[:, joint], POINTS[:, known[name]], atol=1e-6)
        else:
            assert np.isnan(motion.points[:, joint]).all()


def test_blanks_are_gaps(tmp_path):
    path = tmp_path / "a.trc"
    lines = trc("m", 1).splitlines()
    cells = lines[5].split("\t")
    lines[5] = "\t".join([*cells[:2], "", "", "", *cells[5:14]])  # no right hip, and the end left out
    path.write_text("\n".join(lines))
    points = read_reference(path).points
    assert np.isnan(points[0, JOINTS.index("right_hip")]).all()
    assert np.isnan(points[0, JOINTS.index("right_toe")]).all()
    assert np.isfinite(points[1, JOINTS.index("right_hip")]).all()


def test_a_negative_residual_is_a_gap(tmp_path):
    write_c3d(tmp_path / "a.c3d")
    file = ezc3d.c3d(str(tmp_path / "a.c3d"))
    file["data"]["points"][:3, 0, 1] = np.nan  # ezc3d writes these with a residual of -1
    file.write(str(tmp_path / "b.c3d"))
    points = read_reference(tmp_path / "b.c3d").points
    np.testing.assert_array_equal(np.isnan(points[:, JOINTS.index("right_hip"), 0]), [False, True])


def test_every_marker_is_a_joint():
    assert set(MARKERS.values()) == set(JOINTS)
    assert {MARKERS[name] for name in bones.MARKERS if name in MARKERS} == set(JOINTS)  # what a run writes
    assert MARKERS["LBigToe"] == MARKERS["left_foot_index"] == "left_toe"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.trc", "nothing", "is not a reference"),
        ("a.trc", HEAD.format(unit="furlong") + "\n\n", "is not a reference"),
        ("a.trc", trc("m", 1).replace("RHip", "Hat"), "no marker of right_hip"),
        ("a.trc", "\n".join(trc("m", 1).splitlines()[:5]), "right_hip|do not rise"),
        ("a.c3d", "nothing", "is not a reference"),
        ("a.npz", "nothing", "is not a reference"),
        ("a.csv", "", "no reference that can be read"),
    ],
)
def test_what_is_no_reference_is_told_in_a_line(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(SourceUnreadable, match=said):
        read_reference(tmp_path / name)


def test_times_have_to_rise(tmp_path):
    np.savez(tmp_path / "a.npz", names=NAMES, times=[0.0, 0.0], joints=POINTS)
    with pytest.raises(SourceUnreadable, match="do not rise"):
        read_reference(tmp_path / "a.npz")
    with pytest.raises(SourceNotFound, match="no reference at"):
        read_reference(tmp_path / "none.trc")


def openpose(frame: int) -> str:
    seen = [[10.0 * i + frame, i, 0.5] for i in range(25)]
    seen[3] = [0, 0, 0]
    return json.dumps({"people": [{"pose_keypoints_2d": [value for point in seen for value in point]}]})


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_keypoints_are_found_by_camera(tmp_path, layout):
    for camera in ("cam2", "cam1"):
        folder = tmp_path / "deep" / f"{camera}_json"
        folder.mkdir(parents=True)
        for frame in range(3):
            (folder / f"{camera}.{frame:04d}.json").write_text(openpose(frame))
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in (tmp_path / "deep").rglob("*.json"):
            archive.write(path, path.relative_to(tmp_path))
    for place in (tmp_path, tmp_path / "all.zip"):
        seen = read_keypoints(place, ["cam1", "cam2"], layout)
        assert [len(frames) for frames in seen] == [3, 3]
        ((person,),) = ([frames[2] for frames in seen[:1]],)[0]
        for i, name in enumerate(LAYOUTS[layout]):
            if name:
                want = [10.0 * i + 2, i, 0.5] if i != 3 else [np.nan] * 3
                np.testing.assert_allclose(person[KEYPOINTS.index(name)], want)
        assert np.isnan(person[KEYPOINTS.index("left_thumb")]).all()
    with pytest.raises(SourceUnreadable, match="no folder with keypoints of all of cam1, cam9"):
        read_keypoints(tmp_path, ["cam1", "cam9"], layout)


def test_what_holds_no_keypoints_is_told(tmp_path):
    (tmp_path / "a.zip").write_text("no zip")
    with pytest.raises(SourceUnreadable, match="holds no keypoints"):
        read_keypoints(tmp_path / "a.zip", ["cam1"], "body-25")
    with pytest.raises(SourceNotFound, match="no keypoints at"):
        read_keypoints(tmp_path / "b.zip", ["cam1"], "body-25")


def test_without_ezc3d_c3d_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "a.c3d").touch()
    monkeypatch.setitem(sys.modules, "ezc3d", None)
    with pytest.raises(SourceUnreadable, match="ezc3d"):
        read_reference(tmp_path / "a.c3d")
