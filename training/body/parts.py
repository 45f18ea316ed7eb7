"""The borders of the left half's parts, after the DensePose paper's text and figures.

Numbers are DensePose's. Each border is the zero curve of a smooth field of position (for the hand: of position
against the finger bones). Body axes: x left, y down, z back, m.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from bodystream.training.body import cut as knife
from bodystream.training.body.anny_body import HalfBody
from bodystream.training.body.skeleton import LANDMARKS

Points = NDArray[np.float64]

# Places on the mean body that no joint names, found by looking at it.
NOTCH, NAPE = (
    (0.0, -0.535, -0.057),
    (0.0, -0.562, 0.061),
)  # the collar: above the breastbone, last neck vertebra
# Per m, times x²: the collar rises from the middle to the sides, 2 cm where the neck meets the shoulders.
COLLAR_RISE = 5.0
ARMPIT, SHOULDER_TOP = (
    (0.178, -0.417, 0.0),
    (0.160, -0.560, 0.0),
)  # the arm-hole, 1 cm outside the armpit's saddle
BELT = -0.10  # y: the buttocks below 10 cm above the hips belong to the legs
CALF = (0.55, 0.016)  # y, z: the shank is widest behind the line from knee to ankle, and cut there
CROTCH, GROIN_SIDE = (0.0, 0.085), (0.185, -0.07)  # x, y of the front border: an underpants' leg line
SOLE, TOE_SOLE = 0.022, 0.008  # the sole reaches this far up from the ground, below the ankle and at the toes
# The fingers' sides are cut this far to the palm's side of the bones, which lie near the backs: so palm and back
# get like shares. The first bone of a finger, with the web at its root, and the others, m. With 0 to 5 mm for all
# alike (six tried) the palm, laid flat, folds over itself at the webs; with 7 to 10 and 3 to 5 mm (eleven) never.
WEB_RISE, FINGER_RISE = 0.009, 0.004
# Labels on the way, and of the two sheets of a hand and a foot.
ARM, FOREARM, HEAD, FOOT = 101, 102, 24, 104
UPPER, SOLE_SHEET, BACK_OF_HAND, PALM = 106, 5, 107, 4


def parted(half: HalfBody) -> knife.Cut:
    """The left half cut into its parts: 1 and 2 (their left halves), 4, 5, 8, 10, 12, 14, 15, 17, 19, 21, 24."""
    mean = half.positions.mean(0)
    key = {name: half.keypoints[:, i].mean(0) for i, name in enumerate(LANDMARKS)}
    bone = {name: half.heads[:, i].mean(0) for i, name in enumerate(half.bone_labels)}
    work = knife.begun(mean, half.triangles)
    work = outline_cuts(work, key)
    work = leg_and_trunk(work, key)
    work = arm(work, key, bone)
    work = hand(work, half, bone)
    return knife.without_chords(knife.joined(work))


def outline_cuts(work: knife.Cut, key: dict[str, Points]) -> knife.Cut:
    """Head, arm, foot; the rest keeps label 0."""
    tilt = np.array([0.0, NAPE[2] - NOTCH[2], NOTCH[1] - NAPE[1]])  # downwards
    high = work.points[work.triangles][:, :, 1].max(1) < -0.45
    collar = (work.points - NOTCH) @ (tilt / np.linalg.norm(tilt)) + COLLAR_RISE * work.points[:, 0] ** 2
    work = knife.split(work, collar, high, HEAD, 0)
    work = keep_piece(work, HEAD, int(np.argmin(work.points[:, 1])), 0)

    down = np.subtract(ARMPIT, SHOULDER_TOP)
    outward = np.array([down[1], -down[0], 0.0])
    near = (np.linalg.norm(work.points[work.triangles].mean(1) - key["left_shoulder"], axis=1) < 0.2) & (
        work.labels == 0
    )
    work = knife.split(work, (work.points - ARMPIT) @ outward, near, 0, ARM)
    # Beyond the sphere the rest of the arm: what hangs together with the fingers.
    beyond = work.points[work.triangles].mean(1)[:, 0] > ARMPIT[0] + 0.04
    arm_side = (work.labels == ARM) | (
        (work.labels == 0) & beyond & (work.points[work.triangles].mean(1)[:, 1] < 0.1)
    )
    work = replace(work, labels=np.where(arm_side, ARM, work.labels))
    work = keep_piece(work, ARM, int(np.argmax(work.points[:, 0])), 0)

    shank = key["left_ankle"] - key["left_knee"]
    low = (work.points[work.triangles][:, :, 1].min(1) > 0.6) & (work.labels == 0)
    level = key["left_ankle"] - 0.01 * shank / np.linalg.norm(shank)
    work = knife.split(work, (work.points - level) @ shank, low, 0, FOOT)
    ground, ankle = work.points[:, 1].max(), key["left_ankle"]
    behind = work.points[:, 2] - ankle[2]
    toes = key["left_big_toe"][2]
    rim = np.interp(work.points[:, 2], [toes, ankle[2]], [TOE_SOLE, SOLE])
    under = work.points[:, 1] - (ground - rim)
    return knife.split(work, smooth_max(behind, under, 0.008), work.labels == FOOT, UPPER, SOLE_SHEET)


def leg_and_trunk(work: knife.Cut, key: dict[str, Points]) -> knife.Cut:
    """Front and back by the plane through the joints, then belt, groin and knee."""
    shoulder, hip, knee, ankle = (key[f"left_{name}"] for name in ("shoulder", "hip", "knee", "ankle"))
    line = np.stack([shoulder, hip, knee, np.array([0.0, *CALF]), ankle])
    depth = work.points[:, 2] - smooth_line(work.points[:, 1], line[:, 1], line[:, 2])
    work = knife.split(work, depth, work.labels == 0, 2, 1)
    work = knife.split(work, work.points[:, 1] - BELT, work.labels == 1, 1, 8)
    slope = (GROIN_SIDE[1] - CROTCH[1]) / GROIN_SIDE[0]
    groin = work.points[:, 1] - CROTCH[1] - slope * work.points[:, 0]
    work = knife.split(work, groin, work.labels == 2, 2, 10)
    bend = bisector(key["left_hip"], key["left_knee"], key["left_ankle"])
    for upper, lower in ((8, 12), (10, 14)):
        below = (work.points - key["left_knee"]) @ bend
        work = knife.split(work, below, work.labels == upper, upper, lower)
    return work


def arm(work: knife.Cut, key: dict[str, Points], bone: dict[str, Points]) -> knife.Cut:
    """Wrist and elbow, then inner and outer by a plane that turns from the armpit's side to the palm's."""
    shoulder, elbow, wrist = (key[f"left_{name}"] for name in ("shoulder", "elbow", "wrist"))
    past_wrist = (work.points - wrist) @ (wrist - elbow)
    work = knife.split(work, past_wrist, work.labels == ARM, ARM, PALM)
    bend = bisector(shoulder, elbow, wrist)
    work = knife.split(work, (work.points - elbow) @ bend, work.labels == ARM, ARM, FOREARM)
    for label, a, b, low, high, outer, inner in (
        (ARM, shoulder, elbow, 0.0, 0.5, 17, 15),
        (FOREARM, elbow, wrist, 0.5, 1.0, 21, 19),
    ):
        axis = b - a
        along = np.clip((work.points - a) @ axis / (axis @ axis), 0, 1)
        share = (low + (high - low) * along)[:, None]
        to_body = np.array([-1.0, 1.0, 0.0])
        inward = (1 - share) * square_to(to_body, elbow - shoulder) + share * palm_normal(bone)
        offset = work.points - (a + along[:, None] * axis)
        work = knife.split(work, (offset * inward).sum(1), work.labels == label, outer, inner)
    return work


def hand(work: knife.Cut, half: HalfBody, bone: dict[str, Points]) -> knife.Cut:
    """Palm and back of the hand along the outline: each finger bone has its own plane, mixed by skin weights."""
    palm = palm_normal(bone)
    to_pinky = bone["finger5-1.L"] - bone["finger2-1.L"]
    weights = knife.carried(work, half.bones)
    field, total = np.zeros(len(work.points)), np.zeros(len(work.points))
    for i, label in enumerate(half.bone_labels):
        name = label.removesuffix(".L")
        if not label.endswith(".L") or not name.startswith(("lowerarm02", "wrist", "metacarpal", "finger")):
            continue
        normal, rise = palm, 0.0
        if name.startswith("finger"):
            after = f"{name[:-1]}{int(name[-1]) + 1}.L"
            before = f"{name[:-1]}{int(name[-1]) - 1}.L"
            axis = bone[after] - bone[label] if after in bone else bone[label] - bone[before]
            # The thumb's pad faces the little finger more than it faces as the palm does.
            facing = palm + 1.2 * to_pinky / np.linalg.norm(to_pinky) if name.startswith("finger1") else palm
            normal = square_to(facing, axis)
            rise = WEB_RISE if name.endswith("-1") else FINGER_RISE
        field += weights[:, i] * ((work.points - bone[label]) @ normal - rise)
        total += weights[:, i]
    return knife.split(work, field / np.maximum(total, 1e-9), work.labels == PALM, BACK_OF_HAND, PALM)


def palm_normal(bone: dict[str, Points]) -> Points:
    """Unit vector (3,) out of the left palm."""
    across = bone["finger5-1.L"] - bone["finger2-1.L"]
    normal = np.cross(bone["finger3-1.L"] - bone["wrist.L"], across)
    return np.asarray(normal / np.linalg.norm(normal) * np.sign(-normal[0]))


def square_to(vector: Points, axis: Points) -> Points:
    """Unit vector along `vector` less its part along `axis`."""
    rest = vector - axis * (vector @ axis) / (axis @ axis)
    return np.asarray(rest / np.linalg.norm(rest))


def bisector(a: Points, joint: Points, b: Points) -> Points:
    """Normal of the plane that halves the bend at a joint, from a to b."""
    return np.asarray((joint - a) / np.linalg.norm(joint - a) + (b - joint) / np.linalg.norm(b - joint))


def smooth_max(a: Points, b: Points, radius: float) -> Points:
    """max(a, b) with the corner rounded."""
    return np.asarray((a + b + np.sqrt((a - b) ** 2 + radius**2)) / 2)


def smooth_line(at: Points, x: Points, y: Points) -> Points:
    """Through the points (x, y) without corners or overshoot, constant beyond them."""
    return np.asarray(PchipInterpolator(x, y)(np.clip(at, x[0], x[-1])))


def keep_piece(work: knife.Cut, label: int, vertex: int, otherwise: int) -> knife.Cut:
    """Of the triangles with `label` keep those that hang together with `vertex`."""
    piece = knife.pieces_of(work.triangles, work.labels == label)
    home = piece[(work.triangles == vertex).any(1) & (piece >= 0)][0]
    return replace(work, labels=np.where((work.labels == label) & (piece != home), otherwise, work.labels))
