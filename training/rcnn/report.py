"""What rcnn-s is worth on held-out scenes, and a picture of it.

    python -m bodystream.training.rcnn.report rcnn-s.safetensors --poses MOCAP --samples 500 --picture rcnn-s.jpg

COCO's average precision of boxes and masks, over overlaps of .50 to .95 and at .50, by the size of the people;
part accuracy and errors in place as in `validation`, and how many people are found. The scenes are not those of
the curve: another seed. `--data FOLDER` reports on data in COCO's format instead, boxes and masks alone.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bodystream.evaluation.coco import quiet
from bodystream.models.body.parts import MIRROR_PART, PARTS
from bodystream.models.body.surface import rest_points
from bodystream.models.nets.rcnn.system import Rcnn
from bodystream.models.systems import parse
from bodystream.models.weights.networks import load
from bodystream.training.rcnn.coco import Annotated
from bodystream.training.rcnn.samples import Sample, sample_of
from bodystream.training.rcnn.task import sources
from bodystream.training.rcnn.validation import Found, look, match, surface_said

Image = NDArray[np.uint8]

SEED = (1 << 32) + 1  # beside learner.HELD_OUT_SEED
SIZES = {
    "all": (0.0, 1e9),
    "small": (0.0, 48.0),
    "middle": (48.0, 96.0),
    "large": (96.0, 1e9),
}  # √ of area, px
USED = 0.5  # score from which a detection is drawn, and counts as made
NEAR_CM = (5.0, 10.0)  # distances on the body that are asked for


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path)
    parser.add_argument("--poses", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--whole", action="store_true", help="all of --data, which nothing was learnt from")
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    _, net = load(parse(str(given.weights)), given.weights, ("rcnn",))
    assert isinstance(net, Rcnn)
    learnt, held_out = sources(given.poses, given.data)
    if isinstance(held_out, Annotated):
        if given.whole:
            held_out = replace(held_out, ids=(*held_out.ids, *learnt.ids))  # type: ignore[attr-defined]
        samples = held_out.samples(given.seed)
        count = min(given.samples, len(held_out.ids))
    else:
        samples = map(sample_of, held_out.made.scenes(given.seed))  # type: ignore[attr-defined]
        count = given.samples
    seen: list[tuple[Sample, Found]] = []
    for _ in range(count):
        sample = next(samples)
        seen.append((sample, look(net, sample.image, torch.device("cpu"))))
    print(table(seen))
    if given.picture:
        cv2.imwrite(str(given.picture), gallery(seen), [cv2.IMWRITE_JPEG_QUALITY, 82])


def table(seen: Sequence[tuple[Sample, Found]]) -> str:
    """The report, Markdown."""
    rows = [
        "| people | how many | found | box AP | box AP50 | mask AP | mask AP50 |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, bounds in SIZES.items():
        truth, found = known(seen, bounds), said(seen)
        box, mask = (precision(truth, found, kind, bounds) for kind in ("bbox", "segm"))
        people, hit = recalled(seen, bounds)
        shares = (hit / people, *box, *mask) if people else ()
        rows.append(f"| {name} | {people} | " + " | ".join(f"{each:.3f}" for each in shares) + " |")
    return "\n".join([*rows, "", *surface(seen)])


def known(seen: Sequence[tuple[Sample, Found]], bounds: tuple[float, float]) -> Any:
    """The truth as pycocotools has it; people of other sizes are neither right nor wrong."""
    annotations: list[dict[str, Any]] = []
    for picture, (sample, _) in enumerate(seen):
        for k in range(int(sample.number)):
            x0, y0, x1, y1 = sample.boxes[k].tolist()
            area = float(sample.masks[k].sum())
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": picture,
                    "category_id": 1,
                    "iscrowd": 0,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": area,
                    "ignore": not bounds[0] ** 2 <= area < bounds[1] ** 2,
                    "segmentation": rle.encode(np.asfortranarray(sample.masks[k].astype(np.uint8))),
                }
            )
    truth = COCO()
    height, width = seen[0][0].image.shape[:2]
    truth.dataset = {
        "info": {},
        "images": [{"id": k, "height": height, "width": width} for k in range(len(seen))],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person"}],
    }
    with quiet():
        truth.createIndex()
    return truth


def said(seen: Sequence[tuple[Sample, Found]]) -> list[dict[str, Any]]:
    """The detections as pycocotools has them."""
    return [
        {
            "image_id": picture,
            "category_id": 1,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "score": float(score),
            "segmentation": rle.encode(np.asfortranarray(mask.astype(np.uint8))),
        }
        for picture, (_, found) in enumerate(seen)
        for (x0, y0, x1, y1), score, mask in zip(found.boxes.tolist(), found.scores, found.masks, strict=True)
    ]


def precision(
    truth: Any, found: Sequence[dict[str, Any]], kind: str, bounds: tuple[float, float]
) -> tuple[float, float]:
    """COCO's AP over .50 to .95, and at .50, of people whose area's root lies within bounds."""
    if not found or not truth.getAnnIds():
        return 0.0, 0.0
    with quiet():
        evaluation = COCOeval(truth, truth.loadRes([dict(each) for each in found]), kind)
        evaluation.params.areaRng = [[bounds[0] ** 2, bounds[1] ** 2]]
        evaluation.params.areaRngLbl = ["asked"]
        evaluation.evaluate()
        evaluation.accumulate()
    curves = evaluation.eval["precision"][:, :, 0, 0, -1]  # (overlaps, recalls); −1 where nobody is asked for
    return float(curves.mean()), float(curves[0].mean())


def recalled(seen: Sequence[tuple[Sample, Found]], bounds: tuple[float, float]) -> tuple[int, int]:
    """How many people there are of those sizes, and how many of them a detection above USED shows."""
    people = hit = 0
    for sample, found in seen:
        owner = match(sample, found).by_box[found.scores >= USED]
        for k in range(int(sample.number)):
            if bounds[0] <= np.sqrt(sample.masks[k].sum()) < bounds[1]:
                people += 1
                hit += k in owner
    return people, hit


def surface(seen: Sequence[tuple[Sample, Found]]) -> list[str]:
    """Part accuracy and places: by all detections, and by those above USED."""
    heads = [
        "detections",
        "right parts",
        "but for the side",
        "and for front and back",
        "pixels with a part",
        "median cm",
        "mean cm",
        *(f"within {cm:g} cm" for cm in NEAR_CM),
    ]
    rows = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    for name, least in (("all", 0.0), (f"score {USED} and more", USED)):
        told = []
        for sample, found in seen:
            owner = np.where(found.scores >= least, match(sample, found).by_box, -1)
            told.append(surface_said(sample, found, owner))
        truth, part, true_uv, uv = (np.concatenate(each) for each in zip(*told, strict=True))
        said = part > 0
        if not said.any():
            return []
        there, right_there = rest_points(part[said], uv[said]), rest_points(truth[said], true_uv[said])
        cm = 100 * np.linalg.norm(there - right_there, axis=1)
        numbers = [
            f"{(part == truth).mean():.3f}",
            f"{(SIDELESS[part] == SIDELESS[truth]).mean():.3f}",
            f"{(LIMB[part] == LIMB[truth]).mean():.3f}",
            f"{said.mean():.3f}",
            f"{np.median(cm):.1f}",
            f"{cm.mean():.1f}",
            *(f"{(cm < each).sum() / len(truth):.3f}" for each in NEAR_CM),
        ]
        rows.append(f"| {name} | " + " | ".join(numbers) + " |")
    return rows


def _limb(part: int) -> int:
    """The first part of the same limb, or of the torso: those that differ by side, front and back, in and out."""
    words = {"left", "right", "front", "back", "inner", "outer"}
    names = [" ".join(word for word in name.split() if word not in words) for name in PARTS]
    return names.index(names[part - 1]) + 1


SIDELESS = np.minimum(np.arange(25), MIRROR_PART)
LIMB = np.array([0, *(_limb(part) for part in range(1, 25))])


# -- the picture

COLUMNS, ROWS = 3, 4


def gallery(seen: Sequence[tuple[Sample, Found]]) -> Image:
    """Some scenes with people, in each cell the truth on the left and what the net says on the right."""
    cells = [
        np.hstack([of_truth(sample), of_found(sample, found)]) for sample, found in seen if sample.number
    ][: COLUMNS * ROWS]
    cells += [np.zeros_like(cells[0])] * (-len(cells) % COLUMNS)
    rows = [np.hstack(cells[k : k + COLUMNS]) for k in range(0, len(cells), COLUMNS)]
    return np.vstack(rows)


def of_truth(sample: Sample) -> Image:
    """The picture with true boxes and parts."""
    image = painted(sample.image, sample.part)
    for box in sample.boxes[: int(sample.number)]:
        boxed(image, box, (255, 255, 255))
    return image


def of_found(sample: Sample, found: Found) -> Image:
    """The picture with detections above USED, the likeliest on top: boxes, parts, outlines of masks."""
    image = sample.image.copy()
    used = np.flatnonzero(found.scores >= USED)
    for k in used[::-1]:
        image = painted(image, found.part[k])
    for k in used:
        outlines, _ = cv2.findContours(
            found.masks[k].astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(image, outlines, -1, (255, 255, 255), 1)
        boxed(image, found.boxes[k], (255, 255, 255))
        where = (int(found.boxes[k][0]) + 2, int(found.boxes[k][1]) + 10)
        cv2.putText(image, f"{found.scores[k]:.2f}", where, cv2.FONT_HERSHEY_SIMPLEX, 0.3, (255, 255, 255))
    return image


def painted(image: Image, part: Image) -> Image:
    """The picture with a colour to a part."""
    hues = (np.arange(25) * 53 % 180).astype(np.uint8)
    colours = cv2.cvtColor(np.stack([hues, *[np.full(25, 230, np.uint8)] * 2], -1)[None], cv2.COLOR_HSV2BGR)[
        0
    ]
    mixed = 0.35 * image + 0.65 * np.asarray(colours)[np.minimum(part, 24)]
    return np.where((part > 0)[..., None], mixed, image).astype(np.uint8)


def boxed(image: Image, box: NDArray[np.float32], colour: tuple[int, int, int]) -> None:
    """Draw a box, in place."""
    x0, y0, x1, y1 = (int(each) for each in np.rint(box))
    cv2.rectangle(image, (x0, y0), (x1 - 1, y1 - 1), colour, 1)


if __name__ == "__main__":
    main()
