from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest

from bodystream.errors import UsageError
from bodystream.models.body.kinematics import JOINTS
from bodystream.pipeline.lens import header_keys, open_lens
from bodystream.pipeline.source import open_source
from bodystream.pipeline.types import SourceInfo

WIDE, TALL = (1920, 1080), (1080, 1920)
RIG = """
[cam01]
name = "cam01"
size = [ 1920.0, 1080.0,]
matrix = [ [ 1500.0, 0.0, 959.5,], [ 0.0, 1500.0, 539.5,], [ 0.0, 0.0, 1.0,],]
distortions = [ 0.1, 0.0, 0.0, 0.0,]
rotation = [ 1.5707963267948966, 0.0, 0.0,]
translation = [ 0.0, 0.0, 3.0,]
fisheye = false
"""


def source(name: str = "dance.mp4", focal_px: float | None = None) -> SourceInfo:
    return SourceInfo(name, *WIDE, None, False, None, focal_px=focal_px)


@pytest.fixture
def rig(tmp_path: Path) -> Path:
    path = tmp_path / "rig.toml"
    path.write_text(RIG + RIG.replace("cam01", "cam02"))
    return path


@pytest.mark.parametrize("size", [WIDE, TALL])
def test_default_is_60_degrees_over_the_long_side(size):
    lens = open_lens(source())
    assert lens.of(size).K[0, 0] == pytest.approx(960 / np.tan(np.radians(30)))
    assert lens.is_guess
    assert "guess" in lens.origin


def test_field_of_view_of_a_right_angle():
    assert open_lens(source(), fov=90).of(WIDE).K[1, 1] == pytest.approx(960)


def test_middle_of_the_picture_looks_ahead():
    camera = open_lens(source(), focal_px=1000).of(WIDE)
    assert camera.rays([[960, 540]])[0] == pytest.approx([0, 0, 1])
    assert camera.project([[1.0, -0.5, 2.0]])[0] == pytest.approx([960 + 500, 540 - 250])


def test_calibrated_camera_is_found_by_the_name_of_the_video(rig):
    lens = open_lens(source("walk.cam02.mp4"), calibration=rig)
    assert lens.of(WIDE).name == "cam02"
    assert lens.of(WIDE).distortion[0] == 0.1
    assert "cam02" in lens.origin
    assert not lens.is_guess


def test_calibrated_camera_that_no_name_tells(rig):
    with pytest.raises(UsageError, match=r"cam01, cam02, and walk\.mp4 .* --camera"):
        open_lens(source("walk.mp4"), calibration=rig)
    assert open_lens(source("walk.mp4"), calibration=rig, camera="cam01").of(WIDE).name == "cam01"
    with pytest.raises(UsageError, match="cam01, cam02"):
        open_lens(source("walk.mp4"), calibration=rig, camera="cam03")


def test_calibration_tells_up_as_its_z(rig):
    """A camera tipped by a right angle about its x sees the world's z as its -y."""
    lens = open_lens(source("cam01.mp4"), calibration=rig)
    assert lens.up == pytest.approx([0, -1, 0], abs=1e-12)
    turned = open_lens(source("cam01.mp4"), calibration=rig, up="-z")
    assert turned.up == pytest.approx([0, 1, 0], abs=1e-12)


def test_up_in_the_axes_of_the_camera():
    assert open_lens(source()).up == pytest.approx([0, -1, 0])
    assert "level" in open_lens(source()).up_origin
    pitched = open_lens(source(), up="0, -3, -4")
    assert pitched.up == pytest.approx([0, -0.6, -0.8])


@pytest.mark.parametrize("up", ["", "0,0,0", "1,2", "up", "z"])
def test_up_that_is_none(up):
    with pytest.raises(UsageError, match="--up"):
        open_lens(source(), up=up)


def test_two_ways_to_tell_are_one_too_many(rig):
    with pytest.raises(UsageError, match="--focal-px and --fov"):
        open_lens(source(), focal_px=1000, fov=60)
    with pytest.raises(UsageError, match="--camera"):
        open_lens(source(), camera="cam01")


def test_exif_tells_the_focal_length(tmp_path):
    """36 mm of the 35 mm format, over its diagonal of 43.27: .832 of the picture's diagonal."""
    picture = PIL.Image.new("RGB", (400, 300))
    exif = picture.getexif()
    exif.get_ifd(0x8769)[0xA405] = 36
    picture.save(tmp_path / "a.jpg", exif=exif)
    opened = open_source(str(tmp_path / "a.jpg"))
    lens = open_lens(opened.info)
    assert lens.of((400, 300)).K[0, 0] == pytest.approx(500 * 36 / np.hypot(36, 24))
    assert lens.origin == "EXIF"
    assert not lens.is_guess


def test_picture_without_exif(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((30, 40, 3), np.uint8))
    assert open_source(str(tmp_path / "a.png")).info.focal_px is None


def test_header_tells_the_camera_and_what_metres_are_worth(rig):
    keys = header_keys(open_lens(source()), source(), None)
    assert keys["joints"] == JOINTS
    assert keys["camera"]["center"] == [960, 540]
    assert keys["camera"]["distances"].startswith("not calibrated")
    assert keys["camera"]["sizes"].startswith("estimated")
    known = header_keys(open_lens(source("cam01"), calibration=rig), source(), 1.8)["camera"]
    assert known["distances"] == "calibrated"
    assert known["sizes"] == "from --height-m"
    assert known["t"] == [0, 0, 3]
