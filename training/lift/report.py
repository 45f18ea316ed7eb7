"""How good lift-s is on people it has not learned from: made-up errors, and people whom BlazePose has looked at.

    python -m bodystream.training.lift.report lift-s.safetensors --poses MOCAP --drawn DIR

Prints a Markdown table, mm: the landmark net's own joints beside the mended ones. `DIR` is what `lift.measure look`
left; without it there are no rows of drawn people.
"""

import argparse
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bodystream.models.lift_layout import JOINTS, WORLD
from bodystream.models.nets.lift import Lift
from bodystream.models.weights.lift import load_lift
from bodystream.training.learner import HELD_OUT_SEED
from bodystream.training.lift.clips import HELD_OUT, NETS, examples, read_clips
from bodystream.training.lift.task import NOISES, People, errors_mm
from bodystream.training.poses import HELD_OUT_SUBJECTS, read_motion

Floats = NDArray[np.float32]

BATCH = 512


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--poses", type=Path, required=True)
    parser.add_argument("--drawn", type=Path)
    parser.add_argument("--samples", type=int, default=8192)
    given = parser.parse_args()
    net, motion = load_lift(given.weights), read_motion(given.poses)
    print("| people | n | MPJPE, raw | lift-s | PA, raw | lift-s | depth, raw | lift-s |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name in ("hand", "fitted"):
        for who in (HELD_OUT_SUBJECTS, *((each,) for each in HELD_OUT_SUBJECTS)):
            batches = People(motion.of(who), NOISES[name]).batches(HELD_OUT_SEED, 0, BATCH)
            columns = zip(*islice(batches, given.samples // BATCH), strict=True)
            inputs, joints = (np.concatenate(each) for each in columns)
            print(row(f"{name} errors, {', '.join(who)}", net, inputs, joints))
        batches = People(None, NOISES[name]).batches(HELD_OUT_SEED, 0, BATCH)
        inputs, joints = next(batches)
        print(row(f"{name} errors, made-up poses", net, inputs, joints))
    if given.drawn is not None:
        for k, name in enumerate(NETS):
            parts = [examples(clip, k) for clip in read_clips(given.drawn, HELD_OUT)]
            inputs, joints = (np.concatenate(each) for each in zip(*parts, strict=True))
            print(row(f"drawn, {name}", net, inputs, joints))


def row(name: str, net: Lift, inputs: Floats, joints: Floats) -> str:
    """One row of the table."""
    given = torch.from_numpy(inputs)
    truth = torch.from_numpy(joints)
    with torch.inference_mode():
        mended = net(given)
    raw, lifted = (
        errors_mm(each, truth).mean(0).tolist() for each in (given[:, WORLD].reshape(-1, JOINTS, 3), mended)
    )
    cells = [f"{value:.1f}" for pair in zip(raw, lifted, strict=True) for value in pair]
    return f"| {name} | {len(inputs)} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
