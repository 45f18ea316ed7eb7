"""Undo the landmark net's front-back flips: frames in which it takes a person's back for the front.

In such a frame left and right are exchanged, all over the body; positions in the picture stay where they were, and
nothing downstream can mend that. Mostly depth is mirrored too, but not where a camera looks down on a body and depth
tells how it leans: which it was, what is remembered of the person tells. Where the net's pose jumps, it is given the
labelling that fits what is remembered of the person; and over a second of media time the net's own labelling must
be the more frequent. Between flips the net gives bodies as narrow as seen from the side, which fit both
labellings: nothing is learnt from those.
"""

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from bodystream.models.keypoints import SWAP
from bodystream.pipeline.types import Floats

MEMORY_S = 1.0  # flips come in runs of up to half a second; a vote must outlast them
# Only a jump can be a flip, m, mean over the limbs: someone who turns round fits both labellings for a moment.
# Measured at 30 and 60 frames a second: .01 to .1 without a flip, .16 to .6 with one.
JUMP_M = 0.1
# The other labelling must fit better: a person seen from the side fits both equally.
CLEARLY = 0.8
# After a jump nothing is learnt until a pose fits so much better than its exchange, or for so long.
SURELY, PATIENCE_S = 0.6, 0.5
# What is remembered follows in this time: three frames of 60 a second, hardly more than one of 15.
FOLLOW_S = 0.05
# Shoulders, elbows, wrists, hips, knees, ankles: the face's points lie too close together to tell sides.
LIMBS = np.array([11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28])


@dataclass(slots=True)
class FlipRepair:
    """The labelling of one person over time."""

    last: Floats | None = None  # (33, 4) world landmarks of the last frame, as the net gave them
    remembered: Floats | None = None  # a running mean of those given out, of frames that are sure
    sure: bool = True  # whether the last frame's labelling was
    seen_s: float = 0.0  # media time of the last frame
    learnt_s: float = 0.0  # and of the last one that was learnt from
    flipped: bool = False  # whether the net's labelling of the last frame was exchanged
    votes: deque[tuple[float, bool]] = field(
        default_factory=deque
    )  # (media time s, net's labelling was kept)

    def __call__(self, landmarks: Floats, world: Floats, pts_s: float) -> tuple[Floats, Floats, bool]:
        """Return landmarks (33, 3) and world (33, 4) in the labelling that fits, and if exchanged."""
        other = self._exchanged(world)
        if self.last is None or self.remembered is None:
            self.last, self.remembered, self.seen_s, self.learnt_s = world, world, pts_s, pts_s
        if _distance(world, self.last) > JUMP_M:
            as_is, exchanged = _distance(world, self.remembered), _distance(other, self.remembered)
            kept, changed = (exchanged, as_is) if self.flipped else (as_is, exchanged)
            if changed < CLEARLY * kept:
                self.flipped, kept, changed = not self.flipped, changed, kept
            self.sure = kept < SURELY * changed
        if self.sure or pts_s - self.learnt_s > PATIENCE_S:
            share = 1 - np.exp((self.seen_s - pts_s) / FOLLOW_S, dtype=np.float32)
            self.remembered = self.remembered + share * ((other if self.flipped else world) - self.remembered)
            self.learnt_s, self.sure = pts_s, True
        self.last, self.seen_s = world, pts_s
        self._vote(pts_s)
        return (landmarks[SWAP], other, True) if self.flipped else (landmarks, world, False)

    def _exchanged(self, world: Floats) -> Floats:
        """The other labelling, (33, 4): with depth mirrored, or as it is where that fits what is remembered."""
        mirrored, plain = exchange_world(world), world[SWAP]
        if self.remembered is None:
            return mirrored
        as_is, other_way = _distance(plain, self.remembered), _distance(mirrored, self.remembered)
        return plain if as_is < other_way else mirrored

    def _vote(self, pts_s: float) -> None:
        self.votes.append((pts_s, not self.flipped))
        while pts_s - self.votes[0][0] > MEMORY_S:
            self.votes.popleft()
        if sum(kept for _, kept in self.votes) * 2 < len(self.votes):
            # The net has held the other labelling for most of a second: it was the first one that was wrong.
            self.flipped = not self.flipped
            self.votes = deque((time_s, not kept) for time_s, kept in self.votes)
            assert self.remembered is not None
            self.remembered = exchange_world(self.remembered)


def exchange_world(world: Floats) -> Floats:
    """Exchange left and right and mirror depth: (33, 4) to (33, 4)."""
    other = world[SWAP]
    other[:, 2] = -other[:, 2]
    return other


def _distance(a: Floats, b: Floats) -> float:
    return float(np.linalg.norm(a[LIMBS, :3] - b[LIMBS, :3], axis=1).mean())
