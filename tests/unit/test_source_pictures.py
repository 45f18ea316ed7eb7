"""Folders, globs, sequences, single pictures."""

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from bodystream.errors import SourceNotFound, SourceUnreadable
from bodystream.pipeline.source import open_source
from tests.footage import index_of, make_pictures, numbered


def test_natural_order(tmp_path: Path) -> None:
    folder = make_pictures(tmp_path / "f", ["a1.png", "a2.png", "a10.png", "B3.JPG"])
    frames = list(open_source(str(folder)))
    assert [frame.file for frame in frames] == ["a1.png", "a2.png", "a10.png", "B3.JPG"]
    assert [index_of(frame.image) for frame in frames] == [0, 1, 2, 3]


def test_a_rate_that_nobody_stated_is_told(tmp_path: Path) -> None:
    folder = make_pictures(tmp_path / "f", ["1.png", "2.png"])
    source = open_source(str(folder))
    assert source.info.rate == 25
    assert "25 fps" in source.info.notes[0] and "--fps" in source.info.notes[0]
    stated = open_source(str(folder), fps=29.97)
    assert stated.info.notes == ()
    assert [frame.pts for frame in stated] == [0, Fraction(1001, 30000)]


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    folder = make_pictures(tmp_path / "f", ["1.png"])
    (folder / "notes.txt").write_text("x")
    (folder / "deeper.png").mkdir()
    assert len(list(open_source(str(folder)))) == 1


def test_a_broken_picture_is_counted_and_keeps_its_place(tmp_path: Path) -> None:
    folder = make_pictures(tmp_path / "f", ["0.png", "1.png", "2.png", "3.png"])
    (folder / "0.png").write_bytes(b"")
    (folder / "2.png").write_bytes(b"no picture")
    source = open_source(str(folder))
    assert [frame.index for frame in source] == [1, 3]
    assert source.counts["decode errors"] == 2


def test_all_broken(tmp_path: Path) -> None:
    folder = make_pictures(tmp_path / "f", ["0.png", "1.png"])
    for path in folder.iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(SourceUnreadable, match="none of the 2 pictures of f can be decoded"):
        open_source(str(folder))


def test_sizes_may_change(tmp_path: Path) -> None:
    folder = make_pictures(tmp_path / "f", ["0.png"], size=(64, 48))
    (folder / "1.png").write_bytes(cv2.imencode(".png", numbered(1, (40, 80)))[1].tobytes())
    source = open_source(str(folder))
    assert [frame.image.shape for frame in source] == [(48, 64, 3), (80, 40, 3)]
    assert (source.info.width, source.info.height) == (64, 48)


@pytest.mark.parametrize(("shape", "name"), [((1, 1), "gray"), ((1, 1, 4), "alpha"), ((4320, 7680), "8k")])
def test_sizes_and_channels(tmp_path: Path, shape: tuple[int, ...], name: str) -> None:
    path = tmp_path / f"{name}.png"
    path.write_bytes(cv2.imencode(".png", np.zeros(shape, np.uint8))[1].tobytes())
    [frame] = open_source(str(path))
    assert frame.image.shape == (*shape[:2], 3)


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    jpeg = cv2.imencode(".jpg", np.rot90(numbered(5, (128, 64))))[1].tobytes()
    # One IFD entry: tag 0x0112 orientation, SHORT, count 1, value 6 = turn right by 90° (Exif 2.3, 4.6.4).
    tiff = (
        b"MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"
    )
    exif = b"Exif\x00\x00" + tiff
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    (tmp_path / "phone.jpg").write_bytes(jpeg[:2] + segment + jpeg[2:])
    source = open_source(str(tmp_path / "phone.jpg"))
    assert (source.info.width, source.info.height) == (128, 64)
    assert [index_of(frame.image) for frame in source] == [5]


def test_one_picture_is_a_source_of_one_frame(tmp_path: Path) -> None:
    folder = make_pictures(tmp_path / "f", ["only.png"])
    source = open_source(str(folder / "only.png"))
    assert (source.info.name, source.info.length, source.info.notes) == ("only.png", 1, ())
    assert [frame.file for frame in source] == ["only.png"]


def test_a_glob_reaches_down(tmp_path: Path) -> None:
    make_pictures(tmp_path / "a", ["1.png"])
    make_pictures(tmp_path / "b", ["2.png", "3.jpg"])
    assert [frame.file for frame in open_source(f"{tmp_path}/**/*.png")] == ["1.png", "2.png"]


def test_a_gap_in_a_sequence_is_told(tmp_path: Path) -> None:
    make_pictures(tmp_path / "f", ["s_0007.png", "s_0008.png", "s_0011.png", "s_12.png", "t_0009.png"])
    source = open_source(f"{tmp_path}/f/s_%04d.png")
    assert source.info.notes[0] == "2 numbers are missing between 7 and 11; the rest was closed up"
    assert [(frame.index, frame.file) for frame in source] == [
        (0, "s_0007.png"), (1, "s_0008.png"), (2, "s_0011.png")
    ]  # fmt: skip


@pytest.mark.parametrize("spec", ["empty", "empty/*.png", "empty/%06d.png", "nowhere/%06d.png"])
def test_nothing_there(tmp_path: Path, spec: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceNotFound) as error:
        open_source(str(tmp_path / spec))
    assert "\n" not in str(error.value)


def test_a_folder_of_videos_says_what_it_found(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    with pytest.raises(SourceNotFound, match=r"expected \.bmp .*, found 1 other files, such as a\.mp4"):
        open_source(str(tmp_path))


def test_a_name_that_exists_is_meant_literally(tmp_path: Path) -> None:
    make_pictures(tmp_path, ["shot[1].png"])
    assert [frame.file for frame in open_source(str(tmp_path / "shot[1].png"))] == ["shot[1].png"]
