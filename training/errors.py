"""The errors of the landmark net, simulated: what a person's true landmarks look like after BlazePose.

Sizes in px are those of the landmark net's own crop of 256 px, as its errors are. `measure_errors` found, with
full on 108 people of 110 COCO photographs, robust deviations for visible joints of 1.7 (eyes), 1.8 (nose), 3.8
(ears), 3.4 (shoulders), 4.8 (elbows), 3.8 (wrists), 4.8 (hips), 4.5 (knees) and 4.7 (ankles), a common shift of
1.9, three times as much for hidden joints, and one limb joint in five further off than 15 px. The annotators'
share of that is between a third and a half, and people followed through footage are easier than COCO's: hence
OWN at about three quarters of the figures above, and EASE on everything.
Depths follow `docs/dense.md`.
"""

import numpy as np
from numpy.typing import NDArray

from bodystream.models.body.skeleton import landmark
from bodystream.models.keypoints import KEYPOINTS, SWAP

Floats = NDArray[np.float32]

# px of the crop, one deviation, of the part that is each landmark's own.
OWN = {
    "eye": 1.6, "nose": 1.7, "mouth": 1.7, "ear": 2.4, "shoulder": 2.2, "elbow": 3.2, "wrist": 2.8, "pinky": 3.6,
    "index": 3.6, "thumb": 3.6, "hip": 3.0, "knee": 3.2, "ankle": 3.2, "heel": 3.6, "foot": 4.0,
}  # fmt: skip
CHAIN, WHOLE = 1.6, 1.4  # px, shared by an arm or a leg, and by all
EASE = 0.8
# Deviation of the logarithm of all of it, and the most it grows by: some pictures are easy, some hard. Of 97 of
# those photographs a sixth have less than .57 of the middle one's deviation, a sixth more than 3.2 times as much.
OVERALL, HARDEST = 0.75, 3.5
HIDDEN, OUTSIDE = 2.5, 3.5  # times as much where the body hides the landmark, or the picture ends before it
BAD, BAD_TIMES = 0.03, 4.0  # of joints, which are somewhere else altogether
ALONG = {"hip": 0.035, "shoulder": 0.03}  # of the torso's length, along it: nobody sees where a hip is
# Depth, m: each joint's error on top of the one before it on the limb.
DEPTH = {
    "face": 0.035, "shoulder": 0.025, "elbow": 0.035, "wrist": 0.045, "hand": 0.04, "hip": 0.012, "knee": 0.048,
    "ankle": 0.048, "foot": 0.04,
}  # fmt: skip
FLAT = 0.02  # m, error of the world landmarks across
DEPTH_OVERALL = 0.4  # deviation of the logarithm of all of these
DEPTH_SCALE = (0.7, 1.12)  # depths come out too flat
TILT = (5.7, 3.4, 1.7)  # degrees: of the whole body about the picture's x, y and z
MIRRORED, SWAPPED = 0.03, 0.015  # of limbs: bent away where it is bent towards, left taken for right

FACE = tuple(range(11))


def _limbs(*names: str) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(landmark(f"{side}_{name}") for name in names) for side in ("left", "right"))


ARMS = _limbs("shoulder", "elbow", "wrist", "pinky", "index", "thumb")
LEGS = _limbs("hip", "knee", "ankle", "heel", "foot_index")
SIGMA = np.array([next(px for part, px in OWN.items() if part in name) for name in KEYPOINTS], np.float32)


def disturbed(
    points: Floats,
    hidden: NDArray[np.bool_],
    outside: NDArray[np.bool_],
    crop_px: float,
    rng: np.random.Generator,
) -> Floats:
    """2D landmarks with errors and confidences: float32 (33, 3), px and 0..1.

    `points` is (33, 2), px; `hidden` and `outside` (33,) tell which the body covers and which lie outside the
    picture; `crop_px` is one px of the landmark net's crop, in the unit of `points`.
    """
    size = EASE * min(float(np.exp(rng.normal(0, OVERALL))), HARDEST) * crop_px
    doubt = np.where(outside, OUTSIDE, np.where(hidden, HIDDEN, 1.0))
    bad = rng.random(33) < BAD
    own = (SIGMA * doubt * np.where(bad, BAD_TIMES, 1.0))[:, None]
    error = own * rng.normal(size=(33, 2)) + WHOLE * rng.normal(size=2)
    for chain in (*ARMS, *LEGS):
        error[list(chain)] += CHAIN * rng.normal(size=2)
    up = points[[11, 12]].mean(0) - points[[23, 24]].mean(0)
    moved = points + size * error
    for name, share in ALONG.items():
        both = [landmark(f"left_{name}"), landmark(f"right_{name}")]
        moved[both] += up * share * rng.normal()
    least = np.where(outside, 0.0, np.where(hidden | bad, 0.2, 0.9))
    sure = rng.uniform(least, np.where(outside, 0.4, 1.0))
    return np.column_stack([moved, sure]).astype(np.float32)


def disturbed_world(world: Floats, landmarks: Floats, rng: np.random.Generator) -> Floats:
    """Metric landmarks with the landmark net's errors: float32 (33, 4), m, hip-centred, and the confidences.

    `world` is (33, 3), m; `landmarks` (33, 3) gives the confidences.
    """
    error = FLAT * rng.normal(size=(33, 3))
    depth = DEPTH
    error[list(FACE), 2] = depth["face"] * rng.normal() + 0.01 * rng.normal(size=len(FACE))
    for chain, names in ((ARMS, ("shoulder", "elbow", "wrist")), (LEGS, ("hip", "knee", "ankle"))):
        for limb in chain:
            steps = np.cumsum([depth[name] * rng.normal() for name in names])
            error[list(limb[:3]), 2] = steps
            error[list(limb[3:]), 2] = steps[-1] + depth["hand" if chain is ARMS else "foot"] * rng.normal()
    doubt = np.where(landmarks[:, 2] < 0.9, 1.4, 1.0)
    size = np.exp(rng.normal(0, DEPTH_OVERALL))
    out = world * [1, 1, rng.uniform(*DEPTH_SCALE)] + size * error * doubt[:, None]
    tilt = np.radians(rng.normal(0, TILT))
    out = out + np.cross(np.broadcast_to(tilt, out.shape), out)  # small angles
    for limb in (*ARMS, *LEGS):
        if rng.random() < MIRRORED:  # about the plane through its root
            out[list(limb[1:]), 2] = 2 * out[limb[0], 2] - out[list(limb[1:]), 2]
    out = out * rng.uniform(0.85, 1.1)
    return np.column_stack([out - out[[23, 24]].mean(0), landmarks[:, 2]]).astype(np.float32)


def swapped(landmarks: Floats, world: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Now and then take the left arm for the right one, or the legs: (33, 3) and (33, 4) back."""
    order = np.arange(33)
    for limbs in (ARMS, LEGS):
        if rng.random() < SWAPPED:
            members = [i for limb in limbs for i in limb]
            order[members] = SWAP[members]
    return landmarks[order], world[order]
