import numpy as np
import pytest
from pycocotools import mask as coco

from bodystream.pipeline import rle
from bodystream.pipeline.types import Silhouette


def full(silhouette: Silhouette, width: int, height: int) -> np.ndarray:
    image = np.zeros((height, width), np.uint8, order="F")
    rows, columns = silhouette.inside.shape
    image[silhouette.y : silhouette.y + rows, silhouette.x : silhouette.x + columns] = silhouette.inside
    return image


def check(silhouette: Silhouette, width: int, height: int) -> None:
    code = rle.encode(silhouette, (width, height))
    expected = coco.encode(full(silhouette, width, height))
    assert code == {"size": [height, width], "counts": expected["counts"].decode()}
    back = rle.decode(code)
    if not silhouette.inside.any():
        assert back is None
        return
    assert (full(back, width, height) == full(silhouette, width, height)).all()
    assert [back.x, back.y, back.inside.shape[1], back.inside.shape[0]] == coco.toBbox(expected).tolist()


def test_by_hand() -> None:
    # 3 wide, 2 high, inside: the right column. Outside 4, inside 2; a character is 48 + the run.
    assert rle.encode(Silhouette(2, 0, np.ones((2, 1), bool)), (3, 2)) == {"size": [2, 3], "counts": "42"}


@pytest.mark.parametrize("seed", range(40))
def test_equals_pycocotools(seed: int) -> None:
    random = np.random.default_rng(seed)
    width, height = (int(n) for n in random.integers(1, 40, 2))
    w, h = int(random.integers(1, width + 1)), int(random.integers(1, height + 1))
    x, y = int(random.integers(0, width - w + 1)), int(random.integers(0, height - h + 1))
    check(Silhouette(x, y, random.random((h, w)) < random.choice([0.05, 0.5, 0.95, 1.0])), width, height)


def test_whole_image_first_and_last_pixel_and_nothing() -> None:
    check(Silhouette(0, 0, np.ones((7, 5), bool)), 5, 7)
    corners = np.zeros((7, 5), bool)
    corners[0, 0] = corners[6, 4] = True
    check(Silhouette(0, 0, corners), 5, 7)
    check(Silhouette(1, 1, np.zeros((2, 2), bool)), 5, 7)


def test_long_runs_of_a_large_image() -> None:
    inside = np.zeros((2000, 300), bool)
    inside[100:1900, 20:280] = True
    inside[500:700, 100:110] = False
    check(Silhouette(3500, 100, inside), 3840, 2160)


@pytest.mark.parametrize("counts", ["", "43", "4", "o", "42o", "O42", "oooooooooooooo0"])
def test_a_damaged_code_is_refused(counts: str) -> None:
    with pytest.raises(ValueError, match="mask code"):
        rle.decode({"size": [2, 3], "counts": counts})
