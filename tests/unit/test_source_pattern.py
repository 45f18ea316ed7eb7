import hashlib
from fractions import Fraction

import numpy as np
import pytest

from bodystream.errors import UsageError
from bodystream.pipeline.source import open_source
from bodystream.pipeline.source.pattern import Pattern, backdrop, parse_pattern, walker


def test_settings_and_defaults() -> None:
    assert parse_pattern("test:") == Pattern(1280, 720, 30, 300)
    assert parse_pattern("test:rate=29.97,size=640x360,frames=10000") == Pattern(
        640, 360, Fraction(30000, 1001), 10000
    )


@pytest.mark.parametrize(
    "spec", ["test:size=640", "test:size=0x10", "test:rate=0", "test:frames=-1", "test:colour=red"]
)
def test_a_wrong_setting_shows_an_example(spec: str) -> None:
    with pytest.raises(UsageError, match=r"Example: test:size=1280x720,rate=30,frames=300"):
        open_source(spec)


def test_the_same_every_time_and_moving() -> None:
    scene = backdrop(320, 180)
    digests = {hashlib.sha256(walker(scene, index).tobytes()).hexdigest() for index in range(100)}
    assert len(digests) == 100
    assert np.array_equal(walker(scene, 7), walker(scene, 7))
    assert np.array_equal(scene, backdrop(320, 180))  # the scene is not drawn on


@pytest.mark.parametrize("size", ["1x1", "7680x4320", "639x359"])
def test_any_size(size: str) -> None:
    [frame] = open_source(f"test:size={size},frames=1")
    width, height = map(int, size.split("x"))
    assert frame.image.shape == (height, width, 3)
