"""Laying a disc of triangles flat, without a flip: Tutte's embedding, then the least symmetric Dirichlet energy.

The start is a convex-combination map with mean-value weights onto a convex outline, which cannot flip (Floater,
Mean value coordinates, 2003). From there Newton-like steps (Rabinovich, Poranne, Panozzo, Sorkine-Hornung:
Scalable Locally Injective Mappings, 2017) lower Σ area (σ1² + σ2² + σ1⁻² + σ2⁻²) over the triangles' singular
values; the energy is infinite at a flip and every step stops short of one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import bmat, coo_matrix, csc_matrix, diags
from scipy.sparse.linalg import spsolve

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Disc:
    """Triangles (T, 3) over points (V, 3), m, with what does not change while they are laid flat.

    area: (T,). gradient: two sparse (T, V), derivative of a function at the vertices along each triangle's own
    two axes. Outside is where corners are seen counter-clockwise.
    """

    triangles: NDArray[np.int64]
    area: Array
    gradient: tuple[csc_matrix, csc_matrix]


def disc(points: Array, triangles: NDArray[np.int64]) -> Disc:
    """Measure the triangles."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    first = b - a
    normal = np.cross(first, c - a)
    double = np.linalg.norm(normal, axis=1)
    x_axis = first / np.linalg.norm(first, axis=1)[:, None]
    y_axis = np.cross(normal / double[:, None], x_axis)
    flat = np.stack(
        [np.stack([((p - a) * axis).sum(1) for axis in (x_axis, y_axis)], 1) for p in (a, b, c)], 1
    )
    rows = np.repeat(np.arange(len(triangles)), 3)
    across = (
        np.stack([flat[:, (k + 2) % 3] - flat[:, (k + 1) % 3] for k in range(3)], 1) / double[:, None, None]
    )
    shape = (len(triangles), len(points))
    x_part = csc_matrix((-across[:, :, 1].ravel(), (rows, triangles.ravel())), shape)
    y_part = csc_matrix((across[:, :, 0].ravel(), (rows, triangles.ravel())), shape)
    return Disc(triangles, double / 2, (x_part, y_part))


def convex_map(points: Array, triangles: NDArray[np.int64], uv: Array, fixed: NDArray[np.bool_]) -> Array:
    """uv (V, 2) with the vertices that are not `fixed` at mean-value combinations of their neighbours."""
    n = len(points)
    weights = coo_matrix((n, n)).tocsr()
    for k in range(3):
        i, j, m = (triangles[:, (k + step) % 3] for step in range(3))
        to_j, to_m = points[j] - points[i], points[m] - points[i]
        long_j, long_m = np.linalg.norm(to_j, axis=1), np.linalg.norm(to_m, axis=1)
        cosine = (to_j * to_m).sum(1) / (long_j * long_m)
        half_tan = np.sqrt(np.maximum(1 - cosine, 0) / (1 + cosine))
        for other, length in ((j, long_j), (m, long_m)):
            weights = weights + coo_matrix((half_tan / length, (i, other)), (n, n))
    weights = diags(1 / np.asarray(weights.sum(1)).ravel()) @ weights
    system = (diags(np.ones(n)) - weights).tocsc()
    out = uv.copy()
    free = ~fixed
    for axis in range(2):
        out[free, axis] = spsolve(system[free][:, free], -(system[free][:, fixed] @ uv[fixed, axis]))
    return out


def jacobians(shape: Disc, uv: Array) -> Array:
    """(T, 2, 2): rows u, v, columns the triangle's own axes."""
    x_part, y_part = shape.gradient
    return np.stack([x_part @ uv, y_part @ uv], 2)


def energy(shape: Disc, uv: Array) -> float:
    """Mean symmetric Dirichlet energy, 4 for a map that keeps lengths; infinite with a flip."""
    j = jacobians(shape, uv)
    det = np.linalg.det(j)
    if det.min() <= 0:
        return float("inf")
    squares = (j**2).sum((1, 2))
    return float((shape.area * (squares + squares / det**2)).sum() / shape.area.sum())


def relaxed(shape: Disc, uv: Array, fixed: NDArray[np.bool_], steps: int) -> Array:
    """uv (V, 2) moved to lower energy in at most `steps` steps; coordinates `fixed` (V, 2) stay where they are."""
    before = energy(shape, uv)
    for _ in range(steps):
        goal = proxy_minimum(shape, uv, fixed)
        step = goal - uv
        size = min(1.0, 0.8 * furthest(shape, uv, step))
        while (after := energy(shape, uv + size * step)) >= before and size > 1e-8:
            size *= 0.6
        if after >= before:
            break
        uv, gain, before = uv + size * step, before - after, after
        if gain < 1e-6 * before:
            break
    return uv


def proxy_minimum(shape: Disc, uv: Array, fixed: NDArray[np.bool_]) -> Array:
    """Minimum of SLIM's quadratic stand-in for the energy, Σ area |W (J - R)|²."""
    j = jacobians(shape, uv)
    left, sigma, right = np.linalg.svd(j)
    sigma = np.maximum(sigma, 1e-12)
    near_one = np.abs(sigma - 1) < 1e-6
    stiff = np.sqrt(np.where(near_one, 2.0, (sigma - sigma**-3) / np.where(near_one, 1, sigma - 1)))
    w = np.einsum("tij,tj,tkj->tik", left, stiff, left)
    target = w @ (left @ right)
    root = np.sqrt(shape.area)
    rows, goals = [], []
    for axis, part in enumerate(shape.gradient):
        for i in range(2):
            rows.append([diags(root * w[:, i, k]) @ part for k in range(2)])
            goals.append(root * target[:, i, axis])
    matrix = bmat(rows).tocsc()
    goal = np.concatenate(goals)
    free = ~fixed.T.ravel()
    start = uv.T.ravel()
    residual = goal - matrix @ start
    part = matrix[:, free]
    normal = part.T @ part
    # A trace of inertia: with nothing fixed the sheet could otherwise wander.
    normal = normal + diags(np.full(normal.shape[0], 1e-9 * normal.diagonal().mean()))
    moved = start.copy()
    moved[free] += spsolve(normal.tocsc(), part.T @ residual)
    return moved.reshape(2, -1).T


def furthest(shape: Disc, uv: Array, step: Array) -> float:
    """The share of `step` at which the first triangle flips; at most 1e3."""
    j, d = jacobians(shape, uv), jacobians(shape, step)
    a = np.linalg.det(d)
    b = j[:, 0, 0] * d[:, 1, 1] + d[:, 0, 0] * j[:, 1, 1] - j[:, 0, 1] * d[:, 1, 0] - d[:, 0, 1] * j[:, 1, 0]
    c = np.linalg.det(j)
    inside = np.maximum(b**2 - 4 * a * c, 0)
    real = b**2 - 4 * a * c >= 0
    q = -(b + np.where(b < 0, -1, 1) * np.sqrt(inside)) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        roots = np.stack([q / a, c / q])
    good = real & np.isfinite(roots) & (roots > 0)
    return float(min(np.where(good, roots, 1e3).min(), 1e3))
