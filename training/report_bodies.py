"""How much of drawn people dense correspondence gets right, with the landmark net's own depths and with lift-s.

    python -m bodystream.training.report_bodies --poses MOCAP --backgrounds IMAGES --people 300

People are held-out ones, drawn as `lift.measure` draws them and looked at by BlazePose full; what is so is the
drawn surface itself. Prints a Markdown table over the pixels of people that are in their masks.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bodystream.export.prepare import prepare
from bodystream.models.body.pose import pose_body
from bodystream.models.body.raster import render
from bodystream.models.body.surface import rest_points
from bodystream.models.dense import CorrespondenceNet
from bodystream.models.dense_input import HALF, baseline_of, inverse, net_input, points_in_grid, view_of
from bodystream.models.dense_layout import GRID
from bodystream.models.lift import LiftNet
from bodystream.models.pose import Pose, PoseNet
from bodystream.models.runtime import Session, open_session
from bodystream.training.lift.measure import Shot, followed, is_flipped, shots
from bodystream.training.poses import HELD_OUT_SUBJECTS, read_motion

Floats = NDArray[np.float32]

SEED = 77
ROWS = ("baseline", "dense-s")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--poses", type=Path, required=True)
    parser.add_argument("--backgrounds", type=Path, required=True)
    parser.add_argument("--people", type=int, default=300)
    given = parser.parse_args()
    motion = read_motion(given.poses).of(HELD_OUT_SUBJECTS)
    pictures = sorted(given.backgrounds.glob("*.jpg"))
    looker = PoseNet(_session("blazepose-full"))
    lifter, corrector = LiftNet(_session("lift-s")), CorrespondenceNet(_session("dense-s"))
    found: dict[tuple[str, bool], list[tuple[NDArray[np.bool_], Floats]]] = {}
    people = 0
    for shot in shots(motion, pictures, given.people, 1, np.random.default_rng(SEED)):
        poses = followed(looker, shot)
        if not poses or is_flipped(poses[0].landmarks[None, None], shot.flat):
            continue
        people += 1
        for lifted in (False, True):
            world = _lifted(lifter, shot, poses[0]) if lifted else poses[0].world
            for row, right, off in _scored(corrector, shot, poses[0], world):
                found.setdefault((row, lifted), []).append((right, off))
    print(f"{people} people\n\n| | right, BlazePose | lift-s | median cm, BlazePose | lift-s |")
    print("|---|---:|---:|---:|---:|")
    for row in ROWS:
        both = [
            [np.concatenate(each) for each in zip(*found[row, lifted], strict=True)]
            for lifted in (False, True)
        ]
        cells = [f"{right.mean():.3f}" for right, _ in both] + [
            f"{100 * np.median(off):.2f}" for _, off in both
        ]
        print(f"| {row} | {' | '.join(cells)} |")


def _session(name: str) -> Session:
    return open_session(prepare(name), device="cpu", threads=1)


def _lifted(net: LiftNet, shot: Shot, pose: Pose) -> Floats:
    """World landmarks (33, 4), mended."""
    rays = ((pose.landmarks[:, :2] - shot.size / 2) / shot.focal_px).astype(np.float32)
    mended = net(rays[None], pose.landmarks[None, :, 2], pose.world[None, :, :3])[0]
    return np.concatenate([mended, pose.world[:, 3:]], axis=1)


def _scored(
    net: CorrespondenceNet, shot: Shot, pose: Pose, world: Floats
) -> Iterator[tuple[str, NDArray[np.bool_], Floats]]:
    """Of the baseline and the network: which pixels have the right part (M,), and how far off, m, they are (M,)."""
    view = view_of(pose.mask, pose.to_image, pose.landmarks)
    body = pose_body(pose.landmarks, world)
    if view is None or body is None:
        return
    truth = render(shot.frames[0].vertices, inverse(view.to_image), GRID)
    asked = (truth.part > 0) & (view.mask > HALF)
    there = rest_points(truth.part[asked], truth.uv[:, asked].T)
    baseline = baseline_of(body, view)
    answer = net(net_input(view.mask, baseline, points_in_grid(body, view))[None])
    for row, part, uv in zip(ROWS, (baseline.part, answer.part[0]), (baseline.uv, answer.uv[0]), strict=True):
        off = np.linalg.norm(rest_points(part[asked], uv[:, asked].T) - there, axis=1)
        yield row, part[asked] == truth.part[asked], off.astype(np.float32)


if __name__ == "__main__":
    main()
