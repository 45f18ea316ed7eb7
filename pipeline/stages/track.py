"""`track`: who is who over time: stable ids, flips undone, landmarks steadied."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

import cv2
import numpy as np

from bodystream.pipeline.filters import Filtered, Preset, one_euro
from bodystream.pipeline.flips import LIMBS, FlipRepair
from bodystream.pipeline.matching import MEMORY_S, match
from bodystream.pipeline.types import Floats, Frame, Image, ModelInfo, Person

TORSO = np.array([11, 12, 24, 23])  # left and right shoulder, right and left hip
COLOUR_SAMPLES = 24  # the torso's colours are counted on a grid of at most so many pixels a side

# Two crops have come to lie on one body when the limbs' landmarks are this close, in crop sizes.
SAME_BODY = 0.12
# A crop that jumps further than this between two frames, in crop sizes, has caught somebody else.
JUMP, JUMP_PER_S = 0.35, 1.0
# Somebody lost is known again within MEMORY_S, this near, this much alike in size and colours.
REACH, REACH_PER_S = 0.3, 0.5  # crop sizes; a walker covers 0.5 of them in a second
SIZE_RATIO = 1.5
LEAST_LIKENESS = 0.6  # Bhattacharyya coefficient of the colour histograms: same coat .8, other coat .3 to .6


@dataclass(slots=True)
class _Track:
    """What is remembered of one person."""

    id: int
    pts: Fraction
    centre: Floats  # (2,) px, of the crop
    velocity: Floats  # (2,) px/s
    size: float  # px, of the crop
    colours: Floats  # histogram, sums to 1
    flips: FlipRepair = field(default_factory=FlipRepair)
    landmarks: Filtered | None = None
    world: Filtered | None = None

    def expected(self, pts: Fraction) -> Floats:
        """Where the crop's centre should be now; a lost person is not expected to walk on for ever."""
        return self.centre + self.velocity * min(float(pts - self.pts), 1.0)


class Track:
    """Gives `id`; people who follow their own crop keep theirs, a new person may be somebody lost before."""

    name = "track"
    needs = frozenset({"box", "landmarks", "world", "next_crop"})
    gives = frozenset({"id"})
    models: tuple[ModelInfo, ...] = ()

    def __init__(self, smooth: Preset | None, repair_flips: bool = True) -> None:
        self._smooth, self._repair_flips = smooth, repair_flips
        self._next_id = 1
        self.reset()

    def reset(self) -> None:
        """Forget everybody; ids go on counting."""
        self._tracks: dict[int, _Track] = {}

    def __call__(self, frame: Frame, people: Sequence[Person]) -> Sequence[Person]:
        """Return the people with ids and steady landmarks, by id."""
        self._forget(frame.pts)
        people = [replace(p, id=0) if self._jumped(p, frame.pts) else p for p in people]
        people = self._one_crop_a_body(people, frame.pts)
        colours = [_colours(frame.image, person) for person in people]
        ids = self._ids(people, colours, frame.pts)
        out = [
            self._updated(replace(person, id=i), colour, frame.pts)
            for person, colour, i in zip(people, colours, ids, strict=True)
        ]
        return sorted(out, key=lambda person: person.id)

    def _forget(self, pts: Fraction) -> None:
        self._tracks = {i: t for i, t in self._tracks.items() if 0 <= pts - t.pts <= MEMORY_S}

    def _surprise(self, person: Person, pts: Fraction) -> float:
        """How far a person is from where their track expects them, in crop sizes; infinite for a stranger."""
        track = self._tracks.get(person.id)
        if track is None:
            return np.inf
        return float(np.linalg.norm(_centre(person) - track.expected(pts))) / track.size

    def _jumped(self, person: Person, pts: Fraction) -> bool:
        track = self._tracks.get(person.id)
        return track is not None and self._surprise(person, pts) > JUMP + JUMP_PER_S * float(pts - track.pts)

    def _one_crop_a_body(self, people: Sequence[Person], pts: Fraction) -> Sequence[Person]:
        """Where two crops have come to lie on one body, keep the person who was expected there."""
        by_surprise = sorted(people, key=lambda person: self._surprise(person, pts))
        kept: list[Person] = []
        for person in by_surprise:
            if all(_limb_distance(person, other) > SAME_BODY for other in kept):
                kept.append(person)
        return kept

    def _ids(self, people: Sequence[Person], colours: Sequence[Floats], pts: Fraction) -> list[int]:
        """Ids of people who have one, of lost people found again, and new ones."""
        ids = [person.id if person.id in self._tracks else 0 for person in people]
        nameless = [i for i, id_ in enumerate(ids) if not id_]
        lost = [track for i, track in self._tracks.items() if i not in ids]
        likeness = np.zeros((len(nameless), len(lost)), np.float32)
        for row, i in enumerate(nameless):
            for column, track in enumerate(lost):
                likeness[row, column] = _likeness(people[i], colours[i], track, pts)
        for row, column in match(likeness, LEAST_LIKENESS):
            ids[nameless[row]] = lost[column].id
        for i in nameless:
            if not ids[i]:
                ids[i], self._next_id = self._next_id, self._next_id + 1
        return ids

    def _updated(self, person: Person, colours: Floats, pts: Fraction) -> Person:
        crop, landmarks, world = person.next_crop, person.landmarks, person.world
        assert crop is not None and landmarks is not None and world is not None  # `needs` says so
        centre, track = _centre(person), self._tracks.get(person.id)
        if track is None:
            track = _Track(person.id, pts, centre, np.zeros(2, np.float32), crop.size, colours)
            self._tracks[person.id] = track
        elif pts > track.pts:
            # A third of the newest step: the crop's centre shakes by a pixel or two a frame.
            track.velocity += 0.3 * ((centre - track.centre) / float(pts - track.pts) - track.velocity)
            track.colours = 0.9 * track.colours + 0.1 * colours
        track.pts, track.centre, track.size = pts, centre, crop.size
        if self._repair_flips:
            landmarks, world, _ = track.flips(landmarks, world, float(pts))
        if self._smooth is not None:
            track.landmarks = one_euro(
                track.landmarks, landmarks[:, :2], pts, self._smooth.landmarks, crop.size
            )
            track.world = one_euro(track.world, world[:, :3], pts, self._smooth.world)
            landmarks = np.concatenate([track.landmarks.value, landmarks[:, 2:]], axis=1)
            world = np.concatenate([track.world.value, world[:, 3:]], axis=1)
        return replace(person, landmarks=landmarks, world=world)


def _centre(person: Person) -> Floats:
    assert person.next_crop is not None
    return np.array([person.next_crop.x, person.next_crop.y], np.float32)


def _limb_distance(a: Person, b: Person) -> float:
    """Mean distance of the limbs' landmarks, in sizes of the smaller crop."""
    assert a.landmarks is not None and b.landmarks is not None and a.next_crop and b.next_crop
    apart = np.linalg.norm(a.landmarks[LIMBS, :2] - b.landmarks[LIMBS, :2], axis=1).mean()
    return float(apart) / min(a.next_crop.size, b.next_crop.size)


def _likeness(person: Person, colours: Floats, track: _Track, pts: Fraction) -> float:
    """How alike a new person is to a lost one, 0..1: by colours, 0 where place or size rule it out."""
    assert person.next_crop is not None
    ratio = person.next_crop.size / track.size
    gone_s = float(pts - track.pts)
    away = float(np.linalg.norm(_centre(person) - track.expected(pts))) / track.size
    if not 1 / SIZE_RATIO < ratio < SIZE_RATIO or away > REACH + REACH_PER_S * gone_s:
        return 0.0
    return float(np.sqrt(colours * track.colours).sum())


def _colours(image: Image, person: Person) -> Floats:
    """Histogram of the torso's colours, 4 × 4 × 4 bins of Lab: (64,) that sums to 1."""
    assert person.landmarks is not None
    height, width = image.shape[:2]
    xy = person.landmarks[TORSO, :2]
    x0, y0 = np.clip(np.floor(xy.min(0)), 0, [width - 1, height - 1]).astype(int)
    x1, y1 = np.clip(np.ceil(xy.max(0)), [x0 + 1, y0 + 1], [width, height]).astype(int)
    step = max(1, max(x1 - x0, y1 - y0) // COLOUR_SAMPLES)
    patch = np.ascontiguousarray(image[y0:y1:step, x0:x1:step])
    lab = cv2.cvtColor(patch, cv2.COLOR_BGR2LAB).astype(np.uint8, copy=False) >> 6  # 4 bins a channel
    bins = np.bincount((lab @ np.array([16, 4, 1])).ravel(), minlength=64)
    return (bins / bins.sum()).astype(np.float32)
