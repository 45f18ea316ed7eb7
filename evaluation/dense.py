"""Dense correspondence against annotated points: part accuracy, distance along the surface, GPS.

Two kinds of files are read: points on bodystream's own surface, and DensePose-COCO's, whose U and V live on other
charts, so that only their parts can be compared.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bodystream.errors import SourceNotFound, SourceUnreadable, UsageError
from bodystream.evaluation.coco import FOUND_IOU, mask_iou, read_picture
from bodystream.models.body.data import identity
from bodystream.models.body.distance import geodesic
from bodystream.models.body.parts import PARTS
from bodystream.models.boxes import pairwise_iou
from bodystream.pipeline.matching import match
from bodystream.pipeline.rle import Rle, decode
from bodystream.pipeline.types import Floats, Image, Iuv, Result, Silhouette

# A point that is off by 30 cm, about half a body segment, counts one half: Güler et al., DensePose, 2018, 5.
KAPPA_M = 0.255
# DensePose-COCO counts points in boxes scaled to 256 px: 0 is the box's left edge, 255 its right one.
BOX_SCALE = 255


@dataclass(frozen=True, slots=True)
class Marked:
    """One annotated person; N points."""

    image: str
    box: Floats  # (4,) x0 y0 x1 y1, px
    xy: Floats  # (N, 2) px, continuous
    part: NDArray[np.uint8]  # (N,) 1..24
    uv: Floats | None  # (N, 2) on bodystream's charts; None where they are not known
    mask: NDArray[np.uint8] | None = None  # (H, W), over 0 inside


@dataclass(frozen=True, slots=True)
class PersonScore:
    """One annotated person; N points. `away_m` is infinite where no part was found, NaN where U, V are unknown."""

    right: NDArray[np.bool_]  # (N,) the part is the annotated one
    away_m: Floats  # (N,) along the surface
    gps: float  # 0..1
    gpsm: float  # 0..1; NaN without an annotated mask


@dataclass(frozen=True, slots=True)
class Scores:
    """One row of the report; shares 0..1. NaN where the annotations do not tell.

    `part_accuracy`, `gps` and `gpsm` count a point without a part, and a person who is not found, as 0; the errors
    are over the points that have a part, whose share is `answered`.
    """

    pictures: int
    persons: int
    found: int
    points: int
    answered: float
    part_accuracy: float
    error_mean_cm: float
    error_median_cm: float
    gps: float
    gpsm: float


def evaluate(
    people: Sequence[Marked],
    images: Path,
    look: Callable[[Image], Result],
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Scores:
    """Let `look` work on every picture of `people`, and score what it gives. Raises SourceNotFound."""
    by_picture: dict[str, list[Marked]] = {}
    for person in people:
        by_picture.setdefault(person.image, []).append(person)
    scores: list[PersonScore] = []
    found = 0
    for done, (name, marked) in enumerate(by_picture.items()):
        result = look(read_picture(images / name, "points"))
        for person, i in paired(marked, [p.box for p in result.people]):
            found += i is not None
            surface, silhouette = (None, None) if i is None else (result.surfaces[i], result.silhouettes[i])
            scores.append(score_person(person, surface, silhouette))
        progress(done + 1, len(by_picture))
    return summary(scores, len(by_picture), found)


def summary(scores: Sequence[PersonScore], pictures: int, found: int) -> Scores:
    """The means of the persons' scores; `found` of them were matched to somebody."""
    right = np.concatenate([score.right for score in scores])
    away = np.concatenate([score.away_m for score in scores])
    known = away[np.isfinite(away)]
    return Scores(
        pictures,
        len(scores),
        found,
        len(right),
        float(1 - np.isinf(away).mean()),
        float(right.mean()),
        100 * _mean(known),
        100 * float(np.median(known)) if len(known) else float("nan"),
        _mean([score.gps for score in scores]),
        _mean([score.gpsm for score in scores if not np.isnan(score.gpsm)]),
    )


def score_person(person: Marked, surface: Iuv | None, silhouette: Silhouette | None) -> PersonScore:
    """Compare a person's points with a pasted dense map; None for nobody found.

    GPS is the mean over the points of exp(-g² / 2κ²), g the distance along the surface, κ 0.255 m; GPSm is the
    square root of GPS times the masks' intersection over union. Source: DensePose-COCO's evaluation.
    """
    part, uv = at(surface, person.xy)
    if person.uv is None:
        away = np.where(part > 0, np.float32(np.nan), np.float32(np.inf))
        return PersonScore(part == person.part, away, float("nan"), float("nan"))
    away = geodesic(part, uv, person.part, person.uv)
    gps = float(np.exp(-(away.astype(np.float64) ** 2) / (2 * KAPPA_M**2)).mean())
    iou = float("nan") if person.mask is None else mask_iou(person.mask, silhouette)
    return PersonScore(part == person.part, away, gps, float(np.sqrt(gps * iou)))


def at(surface: Iuv | None, xy: Floats) -> tuple[NDArray[np.uint8], Floats]:
    """Part (N,) and uv (N, 2) that a pasted dense map gives at continuous pixels (N, 2); 0 outside it."""
    part, uv = np.zeros(len(xy), np.uint8), np.zeros((len(xy), 2), np.float32)
    if surface is None:
        return part, uv
    column, row = (np.floor(xy).astype(np.intp) - [surface.x, surface.y]).T
    height, width = surface.part.shape
    here = np.flatnonzero((column >= 0) & (column < width) & (row >= 0) & (row < height))
    part[here] = surface.part[row[here], column[here]]
    uv[here] = surface.uv[:, row[here], column[here]].T
    return part, uv


def paired(people: Sequence[Marked], boxes: Sequence[Floats]) -> list[tuple[Marked, int | None]]:
    """Each annotated person of a picture with the index of the box that fits best, or with None."""
    truth = np.array([person.box for person in people], np.float32).reshape(-1, 4)
    pairs = dict(match(pairwise_iou(truth, np.array(boxes, np.float32).reshape(-1, 4)), FOUND_IOU))
    return [(person, pairs.get(i)) for i, person in enumerate(people)]


def read_points(path: Path) -> list[Marked]:
    """Read points on bodystream's surface, or a DensePose-COCO file; docs/evaluation.md states the form.

    Raises SourceNotFound, SourceUnreadable, and UsageError for points on another surface or none at all.
    """
    if not path.is_file():
        raise SourceNotFound(f"no points at {path}; expected a JSON file")
    try:
        content = json.loads(path.read_bytes())
        people = _read_densepose(content) if "annotations" in content else _read_own(content, path)
    except UsageError:
        raise
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as exc:
        raise SourceUnreadable(
            f"{path} holds neither points on bodystream's surface nor DensePose-COCO annotations "
            f"({type(exc).__name__}: {exc}); docs/evaluation.md states the form"
        ) from exc
    if not people:
        raise UsageError(f"{path} holds no person with points, so there is nothing to score")
    return people


def surface_sha256() -> str:
    """The sha256 of the body file: points are on this surface or on another."""
    return identity()["sha256"]


def _read_own(content: dict[str, Any], path: Path) -> list[Marked]:
    if content["surface"] != (own := surface_sha256()):
        raise UsageError(
            f"{path} holds points on another surface: its body file has sha256 {str(content['surface'])[:12]}…, "
            f"this bodystream's {own[:12]}…. Score it with the bodystream that it was made for."
        )
    return [_own_person(person) for person in content["people"] if person["points"]]


def _own_person(person: dict[str, Any]) -> Marked:
    points = np.array(person["points"], np.float64).reshape(-1, 5)
    part = points[:, 2]
    if not (np.isin(part, np.arange(1, len(PARTS) + 1)).all() and np.isfinite(points).all()):
        raise ValueError(f"a point of {person['image']} has no part from 1 to {len(PARTS)}")
    return Marked(
        person["image"],
        np.array(person["box"], np.float32).reshape(4),
        points[:, :2].astype(np.float32),
        part.astype(np.uint8),
        points[:, 3:].astype(np.float32),
        _decoded(person["mask"]) if person.get("mask") else None,
    )


def _decoded(mask: Rle) -> NDArray[np.uint8]:
    """The whole image of a run-length mask: (H, W). Raises ValueError for one that is none."""
    whole = np.zeros(mask["size"], np.uint8)
    if (inside := decode(mask)) is not None:
        height, width = inside.inside.shape
        whole[inside.y : inside.y + height, inside.x : inside.x + width] = inside.inside
    return whole


def _read_densepose(content: dict[str, Any]) -> list[Marked]:
    names = {picture["id"]: picture["file_name"] for picture in content["images"]}
    return [
        _densepose_person(names[person["image_id"]], person)
        for person in content["annotations"]
        if person.get("dp_x")
    ]


def _densepose_person(name: str, person: dict[str, Any]) -> Marked:
    x, y, width, height = person["bbox"]
    scaled = np.stack([person["dp_x"], person["dp_y"]], axis=1) / BOX_SCALE
    xy = scaled * [width, height] + [x, y]
    box = np.array([x, y, x + width, y + height], np.float32)
    return Marked(name, box, xy.astype(np.float32), np.array(person["dp_I"]).astype(np.uint8), None)


def _mean(values: Sequence[float] | Floats) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
