"""Tiny archives of motion in the shape of CMU's, for tests."""

from pathlib import Path

import numpy as np

# Bone, parent, offset in metres with y up and the body facing +z; the right side is made from the left one.
CMU = """
root - 0 0 0 | lhipjoint root .09 -.1 0 | lfemur lhipjoint .14 -.38 0 | ltibia lfemur .14 -.4 0
lfoot ltibia .01 -.02 .13 | lowerback root 0 .12 0 | upperback lowerback 0 .12 0 | thorax upperback 0 .12 0
neckbase thorax 0 .1 0 | upperneck neckbase 0 .1 0 | head upperneck 0 .1 0 | lclavicle thorax .19 .07 0
lhumerus lclavicle .28 0 0 | lradius lhumerus .2 0 0 | lwrist lradius .1 0 0 | lhand lwrist .04 0 0
"""
DANCE = """
hip - 0 0 0 | abdomen hip 0 .2 0 | chest abdomen 0 .1 0 | neck chest 0 .2 0 | head neck 0 .07 0
lCollar chest .03 .19 0 | lShldr lCollar .1 0 0 | lForeArm lShldr .28 0 0 | lHand lForeArm .23 0 0
lButtock hip .09 0 0 | lThigh lButtock 0 0 0 | lShin lThigh 0 -.4 0 | lFoot lShin 0 -.4 0
"""
MIDDLE = ("lowerback",)


def archive(folder: Path, frames: int = 6) -> None:
    """Write both archives: everybody at rest; in the first, the second half turned by a right angle."""
    common = {"distinct": np.ones(frames, bool), "seq": np.zeros(frames, int)}
    turned = (np.sqrt(0.5), 0, np.sqrt(0.5), 0)  # about the vertical
    names, parents, offsets = _skeleton(CMU)
    quat = _still(frames, len(names))
    quat[frames // 2 :, 0] = np.rint(np.multiply(turned, 32767))
    who = {"subject": np.array(["42"]), "seq_subject": np.zeros(1, int)}
    np.savez(
        folder / "cmu_poses.npz",
        quat=quat,
        bones=names,
        parents=parents,
        offsets=offsets[None],
        **who,
        **common,
    )
    names, parents, offsets = _skeleton(DANCE)
    quat, kind = _still(frames, len(names)), np.array(["Salsa, slow"])
    np.savez(
        folder / "cmu_dance_bvh.npz",
        quat=quat,
        bones=names,
        parents=parents,
        offsets=offsets,
        seq_desc=kind,
        **common,
    )


def _still(frames: int, bones: int) -> np.ndarray:
    quat = np.zeros((frames, bones, 4), np.int16)
    quat[..., 0] = 32767
    return quat


def _skeleton(text: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = [entry.split() for entry in text.replace("\n", "|").split("|") if entry.strip()]
    for name, parent, x, *rest in list(rows):
        if name[0] == "l" and name not in MIDDLE:
            mirrored = "r" + parent[1:] if parent[0] == "l" and parent not in MIDDLE else parent
            rows.append(["r" + name[1:], mirrored, str(-float(x)), *rest])
    names = [row[0] for row in rows]
    parents = [names.index(row[1]) if row[1] != "-" else -1 for row in rows]
    return (
        np.array(names),
        np.array(parents),
        np.array([[float(v) for v in row[2:]] for row in rows], np.float32),
    )
