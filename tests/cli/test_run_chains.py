"""`run --chain`: which flags belong to which chain, and what is missing is told of in one line."""

import pytest

from bodystream.cli import options as o
from bodystream.cli.main import run
from bodystream.cli.prepare import net_size

TEST = "test:size=64x48,rate=25,frames=2"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--proposals 50", ["--proposals", "--chain rcnn"]),
        ("--two-scales", ["--two-scales", "--chain rcnn"]),
        ("--weights random:0", ["--weights", "--chain rcnn"]),
        ("--net-size 640x480", ["--net-size", "--chain rcnn"]),
        ("--chain rcnn --detect picodet-s", ["--detect", "--chain light"]),
        ("--chain rcnn --lift off", ["--lift", "--chain light"]),
        ("--chain rcnn --detect-every 5", ["--detect-every", "--chain light"]),
        ("--chain rcnn --no-flip-repair", ["--flip-repair", "--chain light"]),
        ("--chain rcnn --segment heavy", ["--segment heavy", "--chain light", "deeplab-v3"]),
        ("--chain rcnn --dense baseline", ["--dense baseline", "densepose-r50-fpn-s1x=FILE"]),
        ("--chain rcnn", ["--weights mask-rcnn-r50-fpn=FILE", "random:0"]),
        ("--chain rcnn --weights mask-rcnn-r51=a.pth", ["mask-rcnn-r51", "mask-rcnn-r50-fpn"]),
        ("--chain rcnn --weights random:x", ["random:x"]),
        ("--chain rcnn --weights random:0 --net-size 640", ["--net-size 640", "is not a size"]),
        ("--chain rcnn --weights random:0 --net-size 600x400", ["600x400", "32"]),
        ("--segment deeplab-v3 --weights deeplab-v4=a.pth", ["deeplab-v4", "deeplab-v3-r50"]),
        (
            "--chain rcnn --weights vnect=random:0",
            ["finds people", "given is vnect", "mask-rcnn-r50-fpn=FILE"],
        ),
        ("--chain rcnn --weights random:0 -o a.bvh", ["poses in space need VNect", "--weights vnect=FILE"]),
        (
            "--chain rcnn --weights random:0 --pose3d fit",
            ["poses in space need VNect", "--weights vnect=FILE"],
        ),
        ("--chain rcnn --weights random:0 --segment fcn", ["--segment fcn", "--weights fcn-r50=FILE"]),
        ("--segment deeplab-v3", ["--segment deeplab-v3", "given is none", "--weights deeplab-v3-r50=FILE"]),
        ("--segment deeplab-v3 --weights fcn-r50=random:0", ["given is fcn-r50", "deeplab-v3-r50=FILE"]),
        ("--segment deeplab-v3 --proposals 7", ["--proposals", "--chain rcnn"]),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(flags, words, capsys):
    assert run(["run", TEST, *flags.split()]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ")
    assert all(word in line for word in words), line


def test_a_config_s_flag_counts_as_typed(tmp_path, capsys):
    path = tmp_path / "a.toml"
    path.write_text('chain = "rcnn"\ndetect-every = 3\n')
    assert run(["run", TEST, "--config", str(path)]) == 2
    assert "--detect-every belongs to --chain light" in capsys.readouterr().err


def test_settings_say_only_what_ran():
    assert {"detect", "lift", "segment", "dense"} <= o.foreign_flags("rcnn", "full", "dense-s")
    assert not {"segment", "dense"} & o.foreign_flags("rcnn", "fcn", "off")
    assert o.foreign_flags("light", "full", "dense-s") == {"proposals", "two_scales", "weights", "net_size"}
    assert o.foreign_flags("light", "deeplab-v3", "dense-s") == {"proposals", "two_scales"}


@pytest.mark.parametrize(
    ("picture", "net"),
    [
        ((1280, 720), (640, 384)),
        ((720, 1280), (384, 640)),
        ((640, 480), (640, 480)),
        ((320, 240), (640, 480)),
        ((4000, 100), (640, 64)),
    ],
)
def test_pictures_are_scaled_into_their_own_shape(picture, net):
    assert net_size(*picture) == net
