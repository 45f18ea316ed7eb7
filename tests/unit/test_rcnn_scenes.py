"""Made-up scenes: what is said of the people agrees with what is drawn; COCO's format gives the same samples."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as rle

from bodystream.errors import SourceNotFound, SourceUnreadable, UsageError
from bodystream.models.body.raster import render
from bodystream.models.keypoints import COCO_KEYPOINTS
from bodystream.training import motion
from bodystream.training.people import make_figure, rest_normals
from bodystream.training.rcnn import coco
from bodystream.training.rcnn.backgrounds import background
from bodystream.training.rcnn.clothes import detailed
from bodystream.training.rcnn.samples import UNKNOWN, MadeUp, Sample, apart, sample_of
from bodystream.training.rcnn.scenes import SEEN_PX, Scene, Scenes, _Layer, _layer, _Person
from bodystream.training.rendered import painted

SIZE = (96, 128)


@pytest.fixture(scope="module", autouse=True)
def _few_poses() -> Iterator[None]:
    """Sixty made-up poses instead of 6000, which take ten seconds."""
    motion._pool.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(motion, "POOL", 60)
        yield
    motion._pool.cache_clear()


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return list(itertools.islice(Scenes(size=SIZE).scenes(2), 40))


def test_everything_follows_from_the_seed(scenes: list[Scene]):
    again = next(Scenes(size=SIZE).scenes(2))
    assert np.array_equal(again.image, scenes[0].image)
    assert len(again.people) == len(scenes[0].people)
    for seed, rank in ((4, 0), (2, 1)):
        assert not np.array_equal(next(Scenes(size=SIZE).scenes(seed, rank)).image, scenes[0].image)


def test_there_are_scenes_with_nobody_with_one_and_with_many(scenes: list[Scene]):
    assert {len(each.people) for each in scenes} >= {0, 1, 2, 3}


def test_boxes_masks_and_parts_agree(scenes: list[Scene]):
    for scene in scenes:
        assert scene.image.shape == (*SIZE, 3) and scene.image.dtype == np.uint8
        taken = np.zeros(SIZE, int)
        for person in scene.people:
            taken += person.mask
            rows, columns = np.nonzero(person.mask)
            assert person.box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert len(rows) >= SEEN_PX
            assert np.array_equal(person.part > 0, person.mask)
            assert person.part.max() <= 24
            assert person.uv.min() >= 0 and person.uv.max() <= 1
            assert not person.uv[:, ~person.mask].any()
        assert taken.max() <= 1  # no pixel is two people's


def test_keypoints_lie_where_the_camera_sees_the_joints(scenes: list[Scene]):
    visible = 0
    for scene in scenes:
        for person in scene.people:
            x, y, seen = person.keypoints.T
            inside = (x >= 0) & (x < SIZE[1]) & (y >= 0) & (y < SIZE[0])
            assert np.array_equal(inside, seen > 0)
            nose = person.joints[0]
            assert x[0] == pytest.approx(scene.focal_px * nose[0] / nose[2] + SIZE[1] / 2, abs=1e-2)
            for k in np.flatnonzero(seen == 2):
                assert person.mask[int(y[k]), int(x[k])]
            visible += int((seen == 2).sum())
    assert visible > 100


def test_a_person_stands_out_from_the_background(scenes: list[Scene]):
    """What is drawn is where the mask is: colours jump across its outline more than elsewhere."""
    at_rim, elsewhere = [], []
    for scene in scenes:
        steps = np.abs(np.diff(scene.image.astype(float), axis=1)).mean(2)
        rim = np.zeros(SIZE, bool)
        for person in scene.people:
            rim |= np.diff(person.mask.astype(int), axis=1, prepend=0) != 0
        at_rim.append(steps[rim[:, 1:]])
        elsewhere.append(steps[~rim[:, 1:]])
    assert np.concatenate(at_rim).mean() > 2 * np.concatenate(elsewhere).mean()


def test_a_picture_can_be_the_background(tmp_path: Path):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.full((60, 200, 3), (10, 20, 30), np.uint8))
    seen = [background(SIZE, [path], np.random.default_rng(k)) for k in range(8)]
    from_picture = [each for each in seen if np.allclose(each * 255, (10, 20, 30), atol=1)]
    assert 1 <= len(from_picture) < 8
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(SourceUnreadable, match="is no picture"):
        for k in range(8):
            background(SIZE, [tmp_path / "b.png"], np.random.default_rng(k))


def test_a_sample_holds_what_the_scene_does(scenes: list[Scene]):
    for scene in scenes:
        sample = sample_of(scene)
        assert sample.number == len(scene.people)
        for person in scene.people:
            k = int(np.argmin(np.abs(sample.boxes - person.box).sum(1)))
            assert np.array_equal(sample.masks[k], person.mask)
            assert np.array_equal(sample.part[person.mask], person.part[person.mask])
        assert not sample.boxes[int(sample.number) :].any()
    batch = next(MadeUp(Scenes(size=SIZE)).batches(2, 0, 3))
    assert all(len(each) == 3 for each in batch)
    first = next(apart(batch))
    assert np.array_equal(first.image, scenes[0].image)


def test_somebody_of_whom_only_the_boxs_corner_is_in_the_picture_is_not_there():
    rng = np.random.default_rng(0)
    upright = np.repeat(np.eye(3, dtype=np.float32)[None], 17, axis=0)
    person = _Person(make_figure(rng), painted(rng), upright)
    light, turn = np.array([0, 0, -1], np.float32), np.eye(3, dtype=np.float32)

    def layer(x_px: float, y_px: float) -> _Layer | None:
        place = np.array([x_px / 50, y_px / 50, 4], np.float32)  # at 4 m and 200 px a px is 2 cm
        return _layer(person, turn, place, light, 200.0, (200, 200))

    whole = layer(0, 0)
    assert whole is not None and whole.part.any() and np.isfinite(whole.distance).any()
    right, low = whole.window[1].stop, whole.window[0].stop
    assert layer(16 - right, 18 - low) is None  # beside the feet, below the hand
    assert layer(500, 0) is None


def test_clothes_tell_front_from_back():
    rng = np.random.default_rng(0)
    plain = [painted(rng) for _ in range(12)]
    changed = np.stack([np.abs(detailed(each, rng).colours - each.colours).max(1) > 0.05 for each in plain])
    z = rest_normals()[:, 2]
    assert changed[:, z < -0.3].mean() > 2 * changed[:, z > 0.3].mean() > 0
    assert not changed[:, np.abs(z) < 0.2].any(0).all()
    again = detailed(plain[0], np.random.default_rng(1))
    assert np.array_equal(again.colours, detailed(plain[0], np.random.default_rng(1)).colours)
    assert again.colours.min() >= 0 and again.colours.max() <= 1


def test_drawing_colours_covers_what_drawing_parts_does():
    from bodystream.models.body.raster import FAR, rasterised
    from bodystream.models.body.skin import skinned

    upright = np.zeros((17, 3, 4), np.float32)
    upright[:] = np.eye(3, 4)
    vertices = 40 * skinned(upright) + 48
    to_grid = np.eye(2, 3)
    colours, depth = rasterised(vertices, to_grid, 96, np.full_like(vertices, 0.5))
    shown = render(vertices, to_grid, 96)
    assert np.array_equal(colours[..., 0] > 0, shown.part > 0)
    assert np.allclose(colours[shown.part > 0], 0.5, atol=1e-4)
    assert (depth[shown.part == 0] > FAR + 3.9).all()


# -- COCO's format


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve pictures 60 × 80; on the first a rectangle as a polygon, a disc as run lengths, and a crowd."""
    (tmp_path / "images").mkdir()
    annotations, images = [], []
    keypoints = [0.0] * 51
    keypoints[3 * 5 : 3 * 5 + 3] = [19.5, 14.5, 2]  # left shoulder, in the middle of the pixel 19, 14
    disc = np.zeros((60, 80), np.uint8)
    cv2.circle(disc, (60, 30), 12, 1, -1)
    runs = rle.encode(np.asfortranarray(disc))
    for k in range(12):
        cv2.imwrite(str(tmp_path / "images" / f"{k}.png"), np.full((60, 80, 3), 10 * k, np.uint8))
        images.append({"id": k, "file_name": f"{k}.png", "height": 60, "width": 80})
    corners = [10, 10, 30, 10, 30, 50, 10, 50]
    counts = {"size": [60, 80], "counts": runs["counts"].decode()}
    for k, (outline, crowd) in enumerate([([corners], 0), (counts, 0), (counts, 1)]):
        annotations.append(
            {
                "id": k + 1,
                "image_id": 0,
                "category_id": 1,
                "iscrowd": crowd,
                "bbox": [0, 0, 1, 1],
                "area": 500,
                "segmentation": outline,
                **({"keypoints": keypoints, "num_keypoints": 1} if k == 0 else {}),
            }
        )
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    return tmp_path


def test_polygons_and_run_lengths_are_read(folder: Path):
    _, held_out = coco.sources(folder, (60, 80))
    sample = next(held_out.samples(0))
    assert sample.number == 2  # the crowd is nobody's
    boxes = sample.boxes[:2].tolist()
    assert boxes == [[10, 10, 30, 50], [48, 18, 73, 43]]
    assert sample.masks[0].sum() == 800
    assert set(np.unique(sample.part)) == {0, UNKNOWN}
    assert sample.keypoints[0, 5].tolist() == [20, 15, 2]
    assert not sample.keypoints[0, 6:].any() and not sample.keypoints[1].any()
    assert not sample.image.any()


def test_a_picture_is_scaled_to_fit(folder: Path):
    _, held_out = coco.sources(folder, (120, 200))
    sample = next(held_out.samples(0))
    assert np.abs(sample.boxes[0] - [20, 20, 60, 100]).max() <= 1
    assert np.abs(sample.keypoints[0, 5, :2] - [40, 30]).max() < 0.01


def test_pictures_are_held_out_moved_and_mirrored(folder: Path):
    learnt, held_out = coco.sources(folder, (60, 80))
    assert held_out.ids == (0, 10) and len(learnt.ids) == 10
    moving = coco.Annotated(learnt.truth, learnt.images, (0,), (60, 80))
    samples: list[Sample] = list(itertools.islice(moving.samples(0), 30))
    shoulders = [each.keypoints[k, (5, 6)] for each in samples for k in range(int(each.number))]
    assert any(each[0, 2] for each in shoulders) and any(each[1, 2] for each in shoulders)  # left, right
    for each in samples:
        for k in range(int(each.number)):
            rows, columns = np.nonzero(each.masks[k])
            box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert each.boxes[k].tolist() == box
            x, y, seen = each.keypoints[k, 5] + each.keypoints[k, 6]
            if seen:
                assert box[0] - 1 <= x <= box[2] + 1 and box[1] - 1 <= y <= box[3] + 1
    assert COCO_KEYPOINTS[5] == "left_shoulder"


def test_wrong_data_is_told_of(folder: Path, tmp_path: Path):
    with pytest.raises(SourceNotFound, match="no annotations at"):
        coco.sources(tmp_path / "nothing", (60, 80))
    (folder / "images" / "0.png").unlink()
    _, held_out = coco.sources(folder, (60, 80))
    with pytest.raises(SourceNotFound, match="no picture at"):
        next(held_out.samples(0))
    content = json.loads((folder / "annotations.json").read_text())
    content["images"] = content["images"][:1]
    (folder / "annotations.json").write_text(json.dumps(content))
    with pytest.raises(UsageError, match="holds 1 pictures: too few"):
        coco.sources(folder, (60, 80))
