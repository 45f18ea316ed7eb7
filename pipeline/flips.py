"""Undo the landmark net's front-back flips: frames in which it takes a person's back for the front.

In such a frame left and right are exchanged and depth is mirrored, all over the body; positions in the
picture stay where they were, and nothing downstream can mend that. Each frame is given the labelling that
continues the last one, and over a second of media time the net's own labelling must be the more frequent.
"""

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from bodystream.models.keypoints import SWAP
from bodystream.pipeline.types import Floats

MEMORY_S = 1.0  # flips come in runs of up to half a second; a vote must outlast them
# The other labelling must fit the last frame clearly better: a person seen from the side fits both equally.
CLEARLY = 0.6
# Shoulders, elbows, wrists, hips, knees, ankles: the face's points lie too close together to tell sides.
LIMBS = np.array([11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28])


@dataclass(slots=True)
class FlipRepair:
    """The labelling of one person over time."""

    last: Floats | None = None  # (33, 4) world landmarks as they were given out
    flipped: bool = False  # whether the net's labelling of the last frame was exchanged
    votes: deque[tuple[float, bool]] = field(
        default_factory=deque
    )  # (media time s, net's labelling was kept)

    def __call__(self, landmarks: Floats, world: Floats, pts_s: float) -> tuple[Floats, Floats, bool]:
        """Return landmarks (33, 3) and world (33, 4) in the labelling that fits, and if exchanged."""
        other = exchange_world(world)
        if self.last is not None:
            as_is, exchanged = _distance(world, self.last), _distance(other, self.last)
            if self.flipped:
                self.flipped = not as_is < CLEARLY * exchanged
            else:
                self.flipped = exchanged < CLEARLY * as_is
        self._vote(pts_s)
        self.last = other if self.flipped else world
        return (landmarks[SWAP], other, True) if self.flipped else (landmarks, world, False)

    def _vote(self, pts_s: float) -> None:
        self.votes.append((pts_s, not self.flipped))
        while pts_s - self.votes[0][0] > MEMORY_S:
            self.votes.popleft()
        if sum(kept for _, kept in self.votes) * 2 < len(self.votes):
            # The net has held the other labelling for most of a second: it was the first one that was wrong.
            self.flipped = not self.flipped
            self.votes = deque((time_s, not kept) for time_s, kept in self.votes)


def exchange_world(world: Floats) -> Floats:
    """Exchange left and right and mirror depth: (33, 4) to (33, 4)."""
    other = world[SWAP]
    other[:, 2] = -other[:, 2]
    return other


def _distance(a: Floats, b: Floats) -> float:
    return float(np.linalg.norm(a[LIMBS, :3] - b[LIMBS, :3], axis=1).mean())
