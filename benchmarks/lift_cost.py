"""What the stage `lift` costs, ms a person on one thread: median and least of many rounds.

python benchmarks/lift_cost.py
"""

import time
from collections.abc import Callable
from fractions import Fraction
from functools import partial

import numpy as np

from bodystream.export.prepare import prepare
from bodystream.models.body.data import load
from bodystream.models.body.skin import landmarks_on
from bodystream.models.lift import LiftNet
from bodystream.models.lift_layout import INPUTS
from bodystream.models.runtime import open_session
from bodystream.pipeline.lens import GUESS
from bodystream.pipeline.stages.lift import Lift
from bodystream.pipeline.types import Frame, Person

ROUNDS = 500


def main() -> None:
    """Print a row for some numbers of people."""
    session = open_session(prepare("lift-s"), device="cpu", threads=1)
    stage = Lift(LiftNet(session), GUESS)
    frame = Frame(0, Fraction(0), 0, np.zeros((720, 1280, 3), np.uint8), "")
    points = landmarks_on(load().vertices)
    sure = np.ones((33, 1), np.float32)
    pixels = 1100 * points[:, :2] / (points[:, 2:] + 4) + [640, 360]
    person = Person(
        np.zeros(4, np.float32),
        1.0,
        1,
        landmarks=np.hstack([pixels, sure]).astype(np.float32),
        world=np.hstack([points, sure]),
    )
    print("people | stage, ms a person | of it the network")
    for count in (1, 4, 12):
        people, inputs = [person] * count, np.zeros((count, INPUTS), np.float32)
        whole = sorted(_took(partial(stage, frame, people)) / count for _ in range(ROUNDS))
        net = sorted(_took(partial(session, inputs)) / count for _ in range(ROUNDS))
        middle = ROUNDS // 2
        print(f"{count:6} | {whole[middle]:.3f} ({whole[0]:.3f}) | {net[middle]:.3f} ({net[0]:.3f})")


def _took(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - start)


if __name__ == "__main__":
    main()
