"""The R-CNN family as stages: one look of the trunk a frame, and heads that read boxes from it.

Mask R-CNN (He et al., 2017, arXiv:1703.06870) and DensePose-RCNN (Güler et al., 2018, arXiv:1802.00434) in pieces
of fixed shapes. What the trunk sees of a frame stays where it was computed and is shared by a `Pyramid`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from bodystream.models.rcnn import (
    Conventions,
    detections,
    keypoints_of,
    padded,
    proposals,
    scaled,
    to_picture,
    to_picture_from_map,
)
from bodystream.pipeline.masks import HALF
from bodystream.pipeline.types import Dense, Floats, Frame, Mask, ModelInfo, Person


class Value(Protocol):
    """An array that may be on the GPU: `models.runtime.Value`."""

    def numpy(self) -> NDArray[Any]: ...


class Piece(Protocol):
    """A network of several inputs and outputs, all by their names: `models.runtime.Session`."""

    inputs: Mapping[str, Any]

    def run(self, feeds: Mapping[str, Any]) -> Mapping[str, Value]: ...


SAME_BODY = 0.8  # of a mask within a surer one: that body once more
CANDIDATES = ("boxes", "scores", "levels")  # outputs of a trunk that are no features


@dataclass(frozen=True, slots=True)
class Seen:
    """What a trunk saw of one frame: its `features` by name, its `candidates` for people, how the picture was scaled.

    `size` is float32 (2,), the valid part's height and width; `scale` float32 (2,), px of the canvas to one of the
    picture along x and y.
    """

    features: Mapping[str, Value]
    candidates: Mapping[str, Value]
    size: Floats
    scale: Floats

    def on_canvas(self, boxes: Floats) -> Floats:
        """Boxes (N, 4) of the picture in px of the canvas."""
        return (boxes * np.tile(self.scale, 2)).astype(np.float32)

    def told(self, piece: Piece, **more: Floats) -> Mapping[str, Value]:
        """What a piece says of the features that it takes, and of `more` inputs."""
        known = {**self.features, **more}
        return piece.run({name: known[name] for name in piece.inputs})


class Pyramid:
    """One checkpoint's conventions and what its trunk sees of this frame: made with the chain, shared by its stages."""

    def __init__(self, conventions: Conventions) -> None:
        self.conventions = conventions
        self._seen: Seen | None = None

    def show(self, seen: Seen) -> None:
        """Replace the last frame's by this one's."""
        self._seen = seen

    @property
    def seen(self) -> Seen:
        """This frame's. Raises ValueError before the trunk has run."""
        if self._seen is None:
            raise ValueError("the trunk has seen no frame yet")
        return self._seen


@dataclass(frozen=True, slots=True)
class Head:
    """A piece that reads boxes from a pyramid."""

    net: Piece
    pyramid: Pyramid

    def __call__(self, boxes: Floats) -> list[dict[str, NDArray[Any]]]:
        """What it says of boxes (N, 4), px of the picture: its outputs by name, for each box.

        Boxes come to it in lots of the number that it was made for; no box costs nothing.
        """
        if not len(boxes):
            return []
        seen, lot = self.pyramid.seen, self.pyramid.conventions.people
        on_canvas = seen.on_canvas(boxes)
        said: list[dict[str, NDArray[Any]]] = []
        for start in range(0, len(boxes), lot):
            some = on_canvas[start : start + lot]
            outputs = seen.told(self.net, boxes=padded(some, lot))
            arrays = {name: value.numpy() for name, value in outputs.items()}
            said += [{name: array[i] for name, array in arrays.items()} for i in range(len(some))]
        return said


class Trunk:
    """Gives nothing but what its pyramid holds: features and candidates of this frame.

    A `further` one takes the people that others found, and rests where there are none.
    """

    gives: frozenset[str] = frozenset()

    def __init__(
        self,
        net: Piece,
        pyramid: Pyramid,
        models: tuple[ModelInfo, ...] = (),
        name: str = "trunk",
        *,
        further: bool = False,
    ) -> None:
        self.name, self.models = name, models
        self.needs = frozenset({"box"} if further else ())
        self._net, self._pyramid = net, pyramid

    def reset(self) -> None:
        """Nothing is kept from frame to frame."""

    def __call__(self, frame: Frame, people: Sequence[Person]) -> Sequence[Person]:
        """Return all people as they are."""
        if "box" in self.needs and not people:
            return people
        canvas, size, scale = scaled(frame.image, self._pyramid.conventions)
        outputs = self._net.run({"image": canvas, "size": size})
        features = {name: value for name, value in outputs.items() if name not in CANDIDATES}
        candidates = {name: outputs[name] for name in CANDIDATES if name in outputs}
        self._pyramid.show(Seen(features, candidates, size, scale))
        return people


class Boxes:
    """Gives `box` and `score`: the people of this frame, whoever was there in the last one."""

    name = "boxes"
    needs: frozenset[str] = frozenset()
    gives = frozenset({"box", "score"})

    def __init__(
        self,
        net: Piece,
        pyramid: Pyramid,
        models: tuple[ModelInfo, ...] = (),
        min_score: float = 0.5,
        max_people: int = 20,
    ) -> None:
        self.models = models
        self._net, self._pyramid = net, pyramid
        self._min_score, self._max_people = min_score, max_people

    def reset(self) -> None:
        """Nothing is kept from frame to frame."""

    def __call__(self, frame: Frame, people: Sequence[Person]) -> Sequence[Person]:  # noqa: ARG002 - the protocol's
        """Return the people found, the surest first."""
        seen, conv = self._pyramid.seen, self._pyramid.conventions
        boxes, logits, levels = (seen.candidates[name].numpy() for name in CANDIDATES)
        rois = proposals(boxes, logits, levels, conv)
        said = seen.told(self._net, boxes=rois, size=seen.size)
        found, scores = detections(said["scores"].numpy(), said["refined"].numpy(), conv)
        height, width = frame.image.shape[:2]
        found = np.clip(to_picture(found, seen.scale), 0, [width, height, width, height]).astype(np.float32)
        return [
            Person(box, float(score))
            for box, score in zip(found, scores, strict=True)
            if score >= self._min_score
        ][: self._max_people]


class Masks:
    """Gives `mask`: probabilities over the person's box, (28, 28). Of two masks of one body the surer's stays.

    A box within another one survives the suppression of boxes, as a child before an adult must; but such a child's
    pixels are not in the adult's mask.
    """

    name = "masks"
    needs = frozenset({"box", "score"})
    gives = frozenset({"mask"})

    def __init__(self, head: Head, models: tuple[ModelInfo, ...] = ()) -> None:
        self.models = models
        self._head = head

    def reset(self) -> None:
        """Nothing is kept from frame to frame."""

    def __call__(self, frame: Frame, people: Sequence[Person]) -> Sequence[Person]:  # noqa: ARG002 - the protocol's
        """Return the people, in order, but for those who are somebody else's body once more."""
        kept: list[tuple[Person, Mask]] = []
        by_score = sorted(
            zip(people, self._head(_boxes(people)), strict=True), key=lambda pair: -pair[0].score
        )
        for person, one in by_score:
            mask = Mask(_bytes(one["masks"]), over_box(person.box, one["masks"].shape[-1]))
            if all(share_covered(mask, other) <= SAME_BODY for _, other in kept):
                kept.append((person, mask))
        return [replace(person, mask=mask) for person, mask in kept]


class Keypoints:
    """Gives `landmarks`: COCO's 17 (`models.keypoints.COCO_KEYPOINTS`)."""

    name = "keypoints"
    needs = frozenset({"box"})
    gives = frozenset({"landmarks"})

    def __init__(self, head: Head, models: tuple[ModelInfo, ...] = ()) -> None:
        self.models = models
        self._head = head

    def reset(self) -> None:
        """Nothing is kept from frame to frame."""

    def __call__(self, frame: Frame, people: Sequence[Person]) -> Sequence[Person]:  # noqa: ARG002 - the protocol's
        """Return all people, in order."""
        if not people:
            return people
        boxes, seen = _boxes(people), self._head.pyramid.seen
        out = []
        for person, one, box in zip(people, self._head(boxes), seen.on_canvas(boxes), strict=True):
            (points,) = keypoints_of(one["heatmaps"][None], box[None])  # (17, 3), px of the canvas
            out.append(replace(person, landmarks=(points / [*seen.scale, 1]).astype(np.float32)))
        return out


class DenseMaps:
    """Gives `dense`: part, U and V over the person's box, (112, 112); and `mask`, where there is none yet."""

    name = "dense"
    needs = frozenset({"box"})
    gives = frozenset({"dense", "mask"})

    def __init__(self, head: Head, models: tuple[ModelInfo, ...] = ()) -> None:
        self.models = models
        self._head = head

    def reset(self) -> None:
        """Nothing is kept from frame to frame."""

    def __call__(self, frame: Frame, people: Sequence[Person]) -> Sequence[Person]:  # noqa: ARG002 - the protocol's
        """Return all people, in order."""
        out = []
        for person, one in zip(people, self._head(_boxes(people)), strict=True):
            to_image = over_box(person.box, one["part"].shape[-1])
            dense = Dense(one["part"], one["uv"], one["confidence"], to_image)
            mask = person.mask or Mask(_outlined(one["part"]), to_image)
            out.append(replace(person, dense=dense, mask=mask))
        return out


def share_covered(mask: Mask, other: Mask) -> float:
    """Share of a mask's inside, 0..1, that is inside another one too; both are unturned maps over boxes."""
    side = mask.probability.shape[0]
    inside = mask.probability > HALF
    if not inside.any():
        return 0.0
    grid = (np.arange(side) + 0.5)[:, None] * np.diagonal(mask.to_image[:, :2]) + mask.to_image[
        :, 2
    ]  # (side, 2) px
    cells = np.floor((grid - other.to_image[:, 2]) / np.diagonal(other.to_image[:, :2])).astype(int)
    x, y = cells.T
    there = (cells >= 0) & (cells < other.probability.shape[0])
    last = other.probability.shape[0] - 1
    seen = other.probability[np.clip(y, 0, last)[:, None], np.clip(x, 0, last)] > HALF  # (side, side)
    seen &= there[:, 1][:, None] & there[:, 0]
    return float((seen & inside).sum() / inside.sum())


def over_box(box_xyxy: Floats, side: int) -> NDArray[np.float64]:
    """Where a map of `side` × `side` px that covers a box (4,), px, lies in the picture: float64 (2, 3)."""
    return to_picture_from_map(box_xyxy, side, np.ones(2, np.float32))


def _outlined(part: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Where parts are, 0..255, smoothed: a border that is enlarged must not show the map's steps."""
    there = np.where(part > 0, 255, 0).astype(np.uint8)
    return np.asarray(cv2.GaussianBlur(there, (5, 5), 0, borderType=cv2.BORDER_REPLICATE), np.uint8)


def _boxes(people: Sequence[Person]) -> Floats:
    return np.array([person.box for person in people], np.float32).reshape(-1, 4)


def _bytes(probability: Floats) -> NDArray[np.uint8]:
    """Probabilities 0..1 as 0..255."""
    return np.asarray(np.rint(np.clip(probability, 0, 1) * 255), np.uint8)
