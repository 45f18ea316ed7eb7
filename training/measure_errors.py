"""Measure the landmark net's 2D errors on annotated photographs, in px of its own 256 px crop.

    python -m bodystream.training.measure_errors annotations.json images/

What it prints is where `errors.OWN` comes from: for each kind of joint the robust deviation (1.48 times the
median absolute one) of x and y of what is left when a person's common shift is taken away, for annotations that
COCO calls visible, and how much larger it is for hidden ones. Annotators err too, by COCO's own sigmas.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bodystream.evaluation.coco import COCO_SPREAD, FOUND_IOU, read_annotations
from bodystream.export.prepare import prepare
from bodystream.models.boxes import pairwise_iou
from bodystream.models.detector import Detector
from bodystream.models.keypoints import COCO, COCO_KEYPOINTS
from bodystream.models.pose import PIXELS, PoseNet
from bodystream.models.runtime import open_session
from bodystream.pipeline.matching import match
from bodystream.pipeline.stages.segment import Segment
from bodystream.pipeline.types import Frame, Person


def main(annotations: Path, images: Path) -> None:
    """Print a line a kind of joint."""
    truth = read_annotations(annotations)
    detector = Detector(open_session(prepare("picodet-s")), min_score=0.3)
    segment = Segment(PoseNet(open_session(prepare("blazepose-full"))))
    errors, spreads, seen = [], [], []  # (17, 2) px of the crop; (17,) px; (17,) COCO's v
    for picture in truth.loadImgs(truth.getImgIds()):
        image = np.asarray(cv2.imread(str(images / picture["file_name"])), np.uint8)
        boxes, scores = detector(image)
        people = segment(
            Frame(0, 0, 0, image, ""),  # type: ignore[arg-type]
            [Person(box, float(score)) for box, score in zip(boxes, scores, strict=True)],
        )
        persons = truth.loadAnns(truth.getAnnIds(imgIds=picture["id"], iscrowd=False))
        known = np.array([p["bbox"] for p in persons], np.float32).reshape(-1, 4)
        known[:, 2:] += known[:, :2]
        found = np.array([p.box for p in people], np.float32).reshape(-1, 4)
        for i, j in match(pairwise_iou(known, found), FOUND_IOU):
            labelled = np.array(persons[i]["keypoints"], float).reshape(17, 3)
            person = people[j]
            assert person.landmarks is not None and person.next_crop is not None
            scale = PIXELS / person.next_crop.size
            if (labelled[:, 2] > 0).sum() < 5:
                continue  # too few to tell a common shift from the joints' own
            errors.append((person.landmarks[COCO, :2] - labelled[:, :2]) * scale)
            spreads.append(COCO_SPREAD / 2 * np.sqrt(persons[i]["area"]) * scale)
            seen.append(labelled[:, 2])
    error, spread, visible = (np.array(each) for each in (errors, spreads, seen))
    whole = np.array([np.median(e[k], axis=0) for e, k in zip(error, visible > 0, strict=True)])
    own = error - whole[:, None]
    print(f"{len(error)} people; common shift, deviation px: {_deviation(whole):.2f}")
    for kind in dict.fromkeys(name.split("_")[-1] for name in COCO_KEYPOINTS):
        members = [i for i, name in enumerate(COCO_KEYPOINTS) if name.endswith(kind)]
        columns = [own[:, members][visible[:, members] == v] for v in (2, 1)]
        deviations = [_deviation(column) if len(column) > 8 else float("nan") for column in columns]
        shown = ", hidden ".join(
            f"{d:5.2f} px (n {len(c)})" for d, c in zip(deviations, columns, strict=True)
        )
        print(f"{kind:9} visible {shown}, annotators {np.median(spread[:, members]):.2f}")


def _deviation(values: NDArray[np.floating]) -> float:
    return float(1.48 * np.median(np.abs(values)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
