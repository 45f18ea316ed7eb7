"""Stand-in charts."""

import numpy as np


def charts(half, weights):
    p = half.positions.mean(0)
    T = half.triangles
    seg = np.argmax(weights[T].sum(1), 1)
    c = p[T].mean(1)
    part = np.zeros(len(T), int)
    back = c[:, 2] > 0.0
    part[(seg <= 1) & back] = 1
    part[(seg <= 1) & ~back] = 2
    part[seg == 2] = 24
    part[(seg == 0) & back & (c[:, 1] > -0.1)] = 8
    inner = c[:, 0] < np.interp(c[:, 1], [-0.5, 0], [0.2, 0.45])
    for s, i, o in ((3, 15, 17), (4, 19, 21), (5, 19, 21)):
        part[seg == s] = np.where(inner, i, o)[seg == s]
    part[seg == 6] = 4
    part[seg == 9] = 5
    part[seg == 7] = np.where(back, 8, 10)[seg == 7]
    part[seg == 8] = np.where(back, 12, 14)[seg == 8]
    part[seg > 9] = 0
    part[part == 0] = 2
    cv, cp, uv, tri = [], [], [], np.zeros_like(T)
    n = 0
    for k in np.unique(part):
        t = T[part == k]
        vs = np.unique(t)
        q = p[vs]
        u = (q - q.min(0)) / np.ptp(q, axis=0)
        U = u[:, 0] if k not in (24,) else u[:, 2]
        if k in (1, 2):
            U = 0.5 + (u[:, 0] / 2 if k == 2 else -u[:, 0] / 2)
        cv.append(vs)
        cp.append(np.full(len(vs), k))
        uv.append(np.stack([U, u[:, 1]], 1))
        m = np.zeros(len(p), int)
        m[vs] = np.arange(len(vs)) + n
        tri[part == k] = m[t]
        n += len(vs)
    return tri, np.concatenate(cv), np.concatenate(cp), np.concatenate(uv)
