"""Cameras from every format are the same cameras; rays and projections undo each other."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from bodystream.errors import SourceNotFound, SourceUnreadable
from bodystream.pipeline.calibration import Camera, gaps, meeting_points, of_videos, read_cameras
from tests.scene import camera

# A camera 4 m behind the origin, 1 m up, that looks along the world's y; z is up there, as in Qualisys.
QUALISYS = """<?xml version='1.0' encoding='ASCII'?>
<calibration><cameras><camera active="1" serial="cam01">
<fov_video bottom="1919" left="0" right="1087" top="0"/>
<transform r11="1" r12="0" r13="0" r21="0" r22="0" r23="1" r31="0" r32="-1" r33="0" x="0" y="-4000" z="1000"/>
<intrinsic centerPointU="34816" centerPointV="61440" focalLengthU="108800" focalLengthV="107520"
 radialDistortion1="-0.05" radialDistortion2="0.1" tangentalDistortion1="0.001" tangentalDistortion2="0.002"/>
</camera></cameras></calibration>"""
POSE2SIM = """[cam_1]
name = "cam01"
size = [ 1087.0, 1919.0]
matrix = [ [ 1700.0, 0.0, 544.0], [ 0.0, 1680.0, 960.0], [ 0.0, 0.0, 1.0]]
distortions = [ -0.05, 0.1, 0.001, 0.002]
rotation = [ 1.5707963267948966, 0.0, 0.0]
translation = [ 0.0, 1.0, 4.0]
fisheye = false
[metadata]
error = 0.0
"""
K, DISTORTION = np.array([[1700, 0, 544.5], [0, 1680, 960.5], [0, 0, 1.0]]), [-0.05, 0.1, 0.001, 0.002]
ROTATION = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


def opencv(path: Path, rotation: str) -> None:
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    storage.startWriteStruct("names", cv2.FileNode_SEQ)
    storage.write("", "cam01")
    storage.endWriteStruct()
    storage.write("K_cam01", K - np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]))
    storage.write("dist_cam01", np.array([DISTORTION]))
    storage.write(f"{rotation}_cam01", ROTATION if rotation == "Rot" else cv2.Rodrigues(ROTATION)[0])
    storage.write("T_cam01", np.array([[0.0], [1.0], [4.0]]))
    storage.write("size_cam01", np.array([[1088.0, 1920.0]]))
    storage.release()


@pytest.mark.parametrize("form", ["qca.txt", "toml", "Rot", "R"])
def test_all_formats_give_the_same_camera(tmp_path, form):
    path = tmp_path / (f"{form}.yml" if form in ("Rot", "R") else f"calibration.{form}")
    if form in ("Rot", "R"):
        opencv(path, form)
    else:
        path.write_text(QUALISYS if form == "qca.txt" else POSE2SIM)
    (found,) = read_cameras(path)
    assert (found.name, found.size) == ("cam01", (1088, 1920))
    np.testing.assert_allclose(found.K, K)
    np.testing.assert_allclose(found.distortion, DISTORTION)
    np.testing.assert_allclose(found.R, ROTATION, atol=1e-12)
    np.testing.assert_allclose(found.centre, [0, -4, 1], atol=1e-12)


def test_a_folder_of_two_files_is_read(tmp_path):
    opencv(tmp_path / "both.yml", "R")
    text = (tmp_path / "both.yml").read_text()
    (tmp_path / "intri.yml").write_text(text)
    (tmp_path / "extri.yml").write_text(text)
    assert [found.name for found in read_cameras(tmp_path)] == ["cam01"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.toml", "not = a = toml"),
        ("a.toml", "[metadata]\nerror = 0.0"),
        ("a.toml", POSE2SIM.replace("matrix", "matrices")),
        ("a.toml", POSE2SIM.replace("false", "true")),
        ("a.qca.txt", "no xml"),
        ("a.qca.txt", "<calibration/>"),
        ("a.qca.txt", QUALISYS.replace("fov_video", "fov")),
        ("a.yml", "%YAML:1.0\n---\nother: 1\n"),
        ("a.yml", "\x00\x01"),
        ("a.bin", ""),
    ],
)
def test_what_is_no_calibration_is_told_in_a_line(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(SourceUnreadable, match=r"expected a Qualisys"):
        read_cameras(path)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(SourceNotFound, match="no calibration at"):
        read_cameras(tmp_path / "none.toml")


def test_points_come_back_along_their_rays():
    one, other = camera("one", 0), camera("other", 60)
    points = np.random.default_rng(0).normal(0, 0.5, (50, 3))
    rays = one.rays(one.project(points)), other.rays(other.project(points))
    assert gaps(one, rays[0], other, rays[1]).max() < 1e-4
    np.testing.assert_allclose(meeting_points(one, rays[0], other, rays[1]), points, atol=1e-4)
    assert one.rays(np.zeros((0, 2))).shape == (0, 3)
    assert one.project(np.zeros((0, 3))).shape == (0, 2)


def test_the_gap_is_the_distance_between_the_rays():
    one = Camera("one", (10, 10), np.eye(3), np.zeros(4), np.eye(3), np.zeros(3))
    other = Camera("other", (10, 10), np.eye(3), np.zeros(4), np.eye(3), np.array([0, -0.02, 0.0]))
    along_z, along_x = np.array([[0.0, 0, 1]]), np.array([[1.0, 0, 0]])
    assert gaps(one, along_z, other, along_x) == pytest.approx([0.02])


def test_a_smaller_picture_is_the_whole_one_with_bars():
    calibrated = camera("one", 0)  # 480×640
    smaller = calibrated.fitted((240, 340))
    points = np.random.default_rng(0).normal(0, 0.3, (20, 3))
    np.testing.assert_allclose(smaller.project(points), calibrated.project(points) / 2 + [0, 10])
    assert calibrated.fitted((480, 640)) is calibrated


def test_videos_find_their_cameras():
    cameras = [camera("cam01", 0), camera("cam02", 40)]
    names = ["/x/cam02.mp4", "/x/cam01.mp4"]
    assert [found.name for found in of_videos(cameras, names)] == ["cam02", "cam01"]
    assert [found.name for found in of_videos(cameras, ["left.mp4", "right.mp4"])] == ["cam01", "cam02"]
    with pytest.raises(SourceUnreadable, match="1 videos and 2 cameras"):
        of_videos(cameras, ["left.mp4"])
