"""`semantic`: one mask of all persons in the picture shared out among the people who were found in it."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bodystream.models.keypoints import EDGES, Edge
from bodystream.pipeline.masks import skeleton_distance
from bodystream.pipeline.types import Floats, Frame, Image, Mask, ModelInfo, Person

# Of the box's sides, how far beyond it a person's pixels are looked for: boxes cut off a hand or a foot. What lies
# outside of everybody's is somebody whom the detector did not find, and is given to nobody.
MARGIN = 0.1


class SemanticMasks:
    """Gives `mask` anew: each pixel in several people's boxes goes to the nearest skeleton, or to the nearest middle.

    `net` takes an image and returns a probability of person, uint8 (h, w), with its map to the image: it knows no one
    from another. `edges` join the landmarks to skeletons.
    """

    name = "semantic"
    needs = frozenset({"box"})
    gives = frozenset({"mask"})

    def __init__(
        self,
        net: Callable[[Image], tuple[NDArray[np.uint8], NDArray[np.float64]]],
        models: tuple[ModelInfo, ...] = (),
        edges: Sequence[Edge] = EDGES,
    ) -> None:
        self.models = models
        self._net, self._edges = net, edges

    def reset(self) -> None:
        """Nothing is kept from frame to frame."""

    def __call__(self, frame: Frame, people: Sequence[Person]) -> Sequence[Person]:
        """Return all people, in order; nobody costs nothing."""
        if not people:
            return people
        probability, to_image = self._net(frame.image)
        masks = shared_out(probability, to_image, people, self._edges)
        return [replace(person, mask=mask) for person, mask in zip(people, masks, strict=True)]


def shared_out(
    probability: NDArray[np.uint8],
    to_image: NDArray[np.float64],
    people: Sequence[Person],
    edges: Sequence[Edge] = EDGES,
) -> list[Mask | None]:
    """Everybody's own part of a probability map (h, w); None of people who are wholly outside the picture.

    `to_image`, float64 (2, 3), scales the map to the image and does not turn it.
    """
    scale = np.diagonal(to_image[:, :2])
    height, width = probability.shape
    small = [_scaled(person, scale) for person in people]
    windows = [_window(person.box, (width, height)) for person in small]
    nearest = np.full((height, width), np.inf, np.float32)
    owner = np.full((height, width), -1, np.int32)
    for i, (person, window) in enumerate(zip(small, windows, strict=True)):
        if window is not None:
            x0, y0, x1, y1 = window
            distance = skeleton_distance(person, window, edges)
            nearer = distance < nearest[y0:y1, x0:x1]
            nearest[y0:y1, x0:x1][nearer] = distance[nearer]
            owner[y0:y1, x0:x1][nearer] = i
    masks: list[Mask | None] = []
    for i, window in enumerate(windows):
        if window is None:
            masks.append(None)
            continue
        x0, y0, x1, y1 = window
        own = np.where(owner[y0:y1, x0:x1] == i, probability[y0:y1, x0:x1], 0).astype(np.uint8)
        placed = to_image.copy()
        placed[:, 2] += scale * [x0, y0]
        masks.append(Mask(own, placed))
    return masks


def _scaled(person: Person, scale: NDArray[np.float64]) -> Person:
    """The person in px of a map that `scale` (2,) enlarges to the image."""
    box = (person.box / np.tile(scale, 2)).astype(np.float32)
    if person.landmarks is None:
        return replace(person, box=box)
    return replace(person, box=box, landmarks=(person.landmarks / [*scale, 1]).astype(np.float32))


def _window(box: Floats, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """The whole px of a map of `size` (width, height) that a box with its margin touches."""
    margin = MARGIN * np.tile(np.maximum(box[2:] - box[:2], 1), 2) * [-1, -1, 1, 1]
    x0, y0, x1, y1 = box + margin
    x0, y0 = max(0, int(np.floor(x0))), max(0, int(np.floor(y0)))
    x1, y1 = min(size[0], int(np.ceil(x1))), min(size[1], int(np.ceil(y1)))
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None
