"""Accuracy of detector, masks and landmarks against COCO annotations of persons."""

import contextlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bodystream.errors import SourceNotFound, SourceUnreadable, UsageError
from bodystream.models import keypoints as names
from bodystream.models.boxes import pairwise_iou
from bodystream.pipeline.matching import match
from bodystream.pipeline.types import Floats, Frame, Image, Person, Result, Silhouette, Stage

PERSON = 1  # COCO's category
# Average precision wants weak detections too, but landmarks are worth their time only on probable people.
LOOK_SCORE = 0.3
FOUND_IOU = 0.3  # of boxes: less overlap is somebody else
# COCO's keypoint sigmas, times two: cocodataset.org, keypoints evaluation, section 1.3.
COCO_SPREAD = 2 * np.array(
    [26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89], np.float64
) / 1000  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scores:
    """One row of the report; shares 0..1. Means are over all annotated persons, one not found counting 0."""

    pictures: int
    persons: int
    found: int
    box_ap: float
    box_ap50: float
    mask_ap: float
    mask_iou: float
    keypoint_ap: float
    oks: float


def evaluate(
    annotations: Path,
    images: Path,
    detector: Callable[[Image], tuple[Floats, Floats]],
    stages: Sequence[Stage],
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Scores:
    """Run the detector and then `stages` on every picture of `annotations`, and score what they give.

    Raises SourceNotFound, SourceUnreadable and UsageError for what cannot be read.
    """
    truth = read_annotations(annotations)
    detections: list[dict[str, Any]] = []
    looks: list[dict[str, Any]] = []
    overlaps: list[float] = []
    likenesses: list[float] = []
    found = 0
    pictures = truth.loadImgs(truth.getImgIds())
    for done, picture in enumerate(pictures):
        image = read_picture(images / picture["file_name"], "annotations")
        boxes, scores = detector(image)
        detections += [
            _detection(picture["id"], box, score) for box, score in zip(boxes, scores, strict=True)
        ]
        people = look(image, boxes, scores, stages)
        looks += [_look(picture["id"], image, person, shape) for person, shape in people]
        for person, outcome in _matched(
            truth.loadAnns(truth.getAnnIds(imgIds=picture["id"], iscrowd=False)), people
        ):
            found += outcome is not None
            overlaps.append(0.0 if outcome is None else mask_iou(truth.annToMask(person), outcome[1]))
            if person["num_keypoints"]:
                likenesses.append(0.0 if outcome is None else oks(outcome[0], person))
        progress(done + 1, len(pictures))
    box_ap, box_ap50 = _average_precision(truth, detections, "bbox")
    mask_ap, _ = _average_precision(truth, looks, "segm")
    keypoint_ap, _ = _average_precision(truth, looks, "keypoints")
    return Scores(
        len(pictures),
        len(overlaps),
        found,
        box_ap,
        box_ap50,
        mask_ap,
        float(np.mean(overlaps)) if overlaps else float("nan"),
        keypoint_ap,
        float(np.mean(likenesses)) if likenesses else float("nan"),
    )


def read_annotations(path: Path) -> Any:
    """Read a COCO file and keep its persons; the keypoint fields are filled in where a file has none."""
    if not path.is_file():
        raise SourceNotFound(f"no annotations at {path}; expected a COCO JSON file")
    try:
        content = json.loads(path.read_bytes())
        persons = [a for a in content["annotations"] if a["category_id"] == PERSON]
    except (ValueError, KeyError, TypeError) as exc:
        raise SourceUnreadable(f"{path} is not a COCO annotation file ({type(exc).__name__}: {exc})") from exc
    if not persons:
        raise UsageError(f"{path} holds no person (category_id 1), so there is nothing to score")
    for person in persons:
        person.setdefault("keypoints", [0] * 51)
        person.setdefault("num_keypoints", 0)
        person.setdefault("iscrowd", 0)
    truth = COCO()
    truth.dataset = content | {"annotations": persons}
    with quiet():
        truth.createIndex()
    return truth


def look(
    image: Image, boxes: Floats, scores: Floats, stages: Sequence[Stage]
) -> list[tuple[Person, Silhouette | None]]:
    """Find mask and landmarks of every probable person, as in the first frame of a video."""
    people = [
        Person(box, float(score)) for box, score in zip(boxes, scores, strict=True) if score >= LOOK_SCORE
    ]
    result = through(stages, image, people)
    return list(zip(result.people, result.silhouettes, strict=True))


def through(stages: Sequence[Stage], image: Image, people: Sequence[Person] = ()) -> Result:
    """What the stages make of a single picture, as of the first frame of a video, and of `people` in it."""
    frame = Frame(0, Fraction(0), 0, image, "picture")
    for stage in stages:
        stage.reset()
        people = stage(frame, people)
    return Result(0, frame.pts, (image.shape[1], image.shape[0]), tuple(people))


def oks(person: Person, annotation: dict[str, Any]) -> float:
    """Object keypoint similarity of a person's landmarks to an annotation with keypoints: 0..1.

    Source: cocodataset.org, keypoints evaluation: mean of exp(-d² / (2 area k²)) over the labelled keypoints.
    """
    assert person.landmarks is not None
    labelled = np.array(annotation["keypoints"], np.float64).reshape(17, 3)
    seen = labelled[:, 2] > 0
    away2 = ((person.landmarks[names.COCO, :2] - labelled[:, :2]) ** 2).sum(1)
    similar = np.exp(-away2 / (2 * annotation["area"] * COCO_SPREAD**2 + np.spacing(1)))
    return float(similar[seen].mean())


def mask_iou(truth: np.ndarray[Any, Any], silhouette: Silhouette | None) -> float:
    """Intersection over union of a whole-image mask (H, W) and a pasted silhouette: 0..1."""
    if silhouette is None:
        return 0.0
    h, w = silhouette.inside.shape
    window = truth[silhouette.y : silhouette.y + h, silhouette.x : silhouette.x + w] > 0
    shared = int((window & silhouette.inside).sum())
    return shared / max(int((truth > 0).sum()) + int(silhouette.inside.sum()) - shared, 1)


def _matched(
    annotations: Sequence[dict[str, Any]], people: Sequence[tuple[Person, Silhouette | None]]
) -> list[tuple[dict[str, Any], tuple[Person, Silhouette | None] | None]]:
    """Pair each annotated person with the found one whose box fits best, or with None."""
    truth = np.array([a["bbox"] for a in annotations], np.float32).reshape(-1, 4)
    truth[:, 2:] += truth[:, :2]  # COCO: x, y, width, height
    boxes = np.array([person.box for person, _ in people], np.float32).reshape(-1, 4)
    pairs = dict(match(pairwise_iou(truth, boxes), FOUND_IOU))
    return [(a, people[pairs[i]] if i in pairs else None) for i, a in enumerate(annotations)]


def read_picture(path: Path, named_by: str) -> Image:
    """A picture, BGR, that the file of `named_by` ("annotations", "points") names. Raises SourceNotFound."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise SourceNotFound(f"no picture at {path}, which the {named_by} name; is IMAGES the right folder?")
    return image.astype(np.uint8, copy=False)


def _detection(image_id: int, box: Floats, score: float) -> dict[str, Any]:
    x0, y0, x1, y1 = (float(v) for v in box)
    return {
        "image_id": image_id,
        "category_id": PERSON,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "score": float(score),
    }


def _look(image_id: int, image: Image, person: Person, silhouette: Silhouette | None) -> dict[str, Any]:
    assert person.landmarks is not None
    whole = np.zeros(image.shape[:2], np.uint8, order="F")
    if silhouette is not None:
        h, w = silhouette.inside.shape
        whole[silhouette.y : silhouette.y + h, silhouette.x : silhouette.x + w] = silhouette.inside
    keypoints = np.concatenate([person.landmarks[names.COCO, :2], np.ones((17, 1))], axis=1)
    return _detection(image_id, person.box, person.score) | {
        "segmentation": rle.encode(whole),
        "keypoints": keypoints.ravel().tolist(),
    }


def _average_precision(truth: Any, found: list[dict[str, Any]], kind: str) -> tuple[float, float]:
    """AP over IoU or OKS .50 to .95, and AP at .50; 0 where nothing was found, as COCO counts it."""
    if not found:
        return 0.0, 0.0
    with quiet():
        # loadRes changes the records it is given, so it gets its own.
        evaluation = COCOeval(truth, truth.loadRes([dict(record) for record in found]), kind)
        evaluation.params.catIds = [PERSON]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0]), float(evaluation.stats[1])


def quiet() -> contextlib.AbstractContextManager[Any]:
    """Keep pycocotools from printing: stdout is for data."""
    return contextlib.redirect_stdout(io.StringIO())
