"""Scores against annotated points, in numbers that can be checked by hand."""

import json
from dataclasses import replace
from math import exp, sqrt

import cv2
import numpy as np
import pytest

from bodystream.errors import SourceNotFound, SourceUnreadable, UsageError
from bodystream.evaluation.dense import (
    KAPPA_M,
    Marked,
    at,
    evaluate,
    paired,
    read_points,
    score_person,
    surface_sha256,
)
from bodystream.models.body.data import load
from bodystream.pipeline.rle import encode
from bodystream.pipeline.types import Iuv, Silhouette
from tests.scene import body, camera, result, seen

BOX = np.array([0, 0, 100, 100], np.float32)


def chart_vertex_of(vertex: int) -> int:
    return int(np.flatnonzero(load().chart_vertex == vertex)[0])


def far_pair() -> tuple[int, int, float]:
    """Two chart vertices and the stored distance between them, m: about a forearm's length."""
    model = load()
    first = 0
    other = int(np.abs(model.geodesic[first].astype(float) - 250).argmin())
    ends = (chart_vertex_of(model.samples[first]), chart_vertex_of(model.samples[other]))
    return *ends, float(model.geodesic[first, other]) / 1000


def surface(*chart_vertices: int) -> Iuv:
    """A map of one row at (10, 20); each pixel shows a chart vertex, -1 shows nothing."""
    model, row = load(), np.array([chart_vertices])
    part = np.where(row < 0, 0, model.part[row]).astype(np.uint8)
    return Iuv(10, 20, part, np.moveaxis(model.uv[row], -1, 0), np.full(part.shape, 255, np.uint8))


def marked(chart_vertices: list[int], columns: list[float], **more) -> Marked:
    """Points in row 20 at x = 10 + column, annotated as chart vertices."""
    model = load()
    xy = np.array([[10 + column, 20.5] for column in columns], np.float32)
    return Marked("a.png", BOX, xy, model.part[chart_vertices], model.uv[chart_vertices], **more)


def test_right_points_score_one_and_points_without_a_part_score_zero():
    vertex, _, _ = far_pair()
    person = marked(
        [vertex] * 4, [0.0, 0.99, 1.5, 30.0]
    )  # twice the same pixel, one without a part, one outside
    score = score_person(person, surface(vertex, -1), None)
    assert score.right.tolist() == [True, True, False, False]
    np.testing.assert_allclose(score.away_m, [0, 0, np.inf, np.inf], atol=1e-4)
    assert score.gps == pytest.approx(0.5, abs=1e-6)
    assert np.isnan(score.gpsm)


def test_gps_of_a_known_distance():
    truth, shown, away_m = far_pair()
    score = score_person(marked([truth, truth], [0.5, 1.5]), surface(shown, truth), None)
    assert away_m == pytest.approx(0.25, abs=0.01)
    assert score.away_m[0] == pytest.approx(away_m, abs=0.02)
    assert score.gps == pytest.approx((exp(-(away_m**2) / (2 * KAPPA_M**2)) + 1) / 2, abs=0.02)


def test_gpsm_is_the_root_of_gps_times_the_masks_overlap():
    vertex, _, _ = far_pair()
    mask = np.zeros((100, 100), np.uint8)
    mask[20, 10:14] = 1  # four pixels; the silhouette has two of them and no other: 2 / 4
    person = marked([vertex], [0.5], mask=mask)
    found = score_person(person, surface(vertex, vertex), Silhouette(10, 20, np.ones((1, 2), bool)))
    assert found.gps == pytest.approx(1, abs=1e-6)
    assert found.gpsm == pytest.approx(sqrt(0.5), abs=1e-6)
    assert score_person(person, None, None).gpsm == 0


def test_points_without_uv_are_compared_by_part_alone():
    vertex, _, _ = far_pair()
    score = score_person(replace(marked([vertex, vertex], [0.5, 9.5]), uv=None), surface(vertex), None)
    assert score.right.tolist() == [True, False]
    assert np.isnan(score.gps)
    assert np.isnan(score.away_m[0])
    assert np.isinf(score.away_m[1])


def test_nothing_is_found_nowhere():
    part, uv = at(None, np.zeros((3, 2), np.float32))
    assert part.tolist() == [0, 0, 0]
    assert uv.shape == (3, 2)


def test_each_person_gets_the_box_that_fits_best():
    one, other = (Marked("a.png", BOX + shift, *[np.zeros(0)] * 3) for shift in (0, 200))
    boxes = [BOX + 205, BOX + 2, BOX + 500]
    assert [i for _, i in paired([one, other], boxes)] == [1, 0]
    assert [i for _, i in paired([one, other], [])] == [None, None]


def scene(tmp_path):
    """A picture, a file of points on the body in it, and what a perfect pipeline says about it."""
    by = camera("a", 20)
    person = seen(by, body())
    found = result(0, person)
    (iuv,) = found.surfaces
    rows, columns = np.nonzero(iuv.part)
    some = np.random.default_rng(0).choice(len(rows), 60, replace=False)
    points = [
        [c + iuv.x + 0.5, r + iuv.y + 0.5, int(iuv.part[r, c]), *map(float, iuv.uv[:, r, c])]
        for r, c in zip(rows[some].tolist(), columns[some].tolist(), strict=True)
    ]
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((640, 480, 3), np.uint8))
    people = [{"image": "a.png", "box": person.box.tolist(), "points": points}]
    people.append({"image": "a.png", "box": [0, 0, 20, 20], "points": points[:20]})  # whom nobody finds
    return people, found


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def test_a_file_of_points_is_scored(tmp_path):
    people, found = scene(tmp_path)
    file = write(tmp_path / "points.json", {"surface": surface_sha256(), "people": people})
    steps = []
    scores = evaluate(read_points(file), tmp_path, lambda _image: found, lambda *step: steps.append(step))
    assert (scores.pictures, scores.persons, scores.found, scores.points) == (1, 2, 1, 80)
    assert scores.answered == scores.part_accuracy == pytest.approx(60 / 80)
    assert scores.error_mean_cm < 0.1
    assert scores.gps == pytest.approx(0.5, abs=1e-3)  # one of two persons
    assert np.isnan(scores.gpsm)
    assert steps == [(1, 1)]
    (tmp_path / "a.png").unlink()
    with pytest.raises(SourceNotFound, match=r"a\.png.*IMAGES"):
        evaluate(read_points(file), tmp_path, lambda _image: found)


def test_masks_come_as_run_lengths(tmp_path):
    people, _ = scene(tmp_path)
    people[0]["mask"] = encode(Silhouette(0, 0, np.array([[0, 1, 0], [1, 0, 0]], bool)), (3, 2))
    (first, _) = read_points(write(tmp_path / "p.json", {"surface": surface_sha256(), "people": people}))
    assert first.mask.tolist() == [[0, 1, 0], [1, 0, 0]]


def test_densepose_coco_gives_parts_in_the_box_s_own_scale(tmp_path):
    annotation = {
        "image_id": 7,
        "bbox": [100, 50, 51, 102],
        "dp_x": [0, 255],
        "dp_y": [127.5, 255],
        "dp_I": [2, 23.0],
    }
    content = {
        "images": [{"id": 7, "file_name": "a.jpg"}],
        "annotations": [annotation, {"image_id": 7, "bbox": [0, 0, 1, 1]}],
    }
    (person,) = read_points(write(tmp_path / "d.json", content))
    assert person.image == "a.jpg"
    assert person.xy.tolist() == [[100, 101], [151, 152]]
    assert person.part.tolist() == [2, 23]
    assert person.uv is None


def people_with(points):
    return {"surface": None, "people": [{"points": points, "image": "a", "box": [0, 0, 1, 1]}]}


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ({"surface": "0" * 64, "people": []}, UsageError, "another surface.*000000000000"),
        ({"people": []}, SourceUnreadable, "KeyError.*docs/evaluation.md"),
        (people_with([[1, 2, 25, 0, 0]]), SourceUnreadable, "no part"),
        (people_with([[1, 2]]), SourceUnreadable, "ValueError"),
        ({"surface": None, "people": []}, UsageError, "nothing to score"),
        ([], SourceUnreadable, "TypeError"),
    ],
)
def test_a_file_that_cannot_be_scored_is_told_in_a_line(tmp_path, content, error, message):
    if isinstance(content, dict) and "surface" in content:
        content = content | {"surface": content["surface"] or surface_sha256()}
    with pytest.raises(error, match=message):
        read_points(write(tmp_path / "p.json", content))


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(SourceNotFound, match="no points at"):
        read_points(tmp_path / "none.json")
