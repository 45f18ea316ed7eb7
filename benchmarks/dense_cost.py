"""What dense correspondence costs beside the landmark net: ms a person, with one person and with four.

    python benchmarks/dense_cost.py [--runs 60] [--threads N] [--spin]

One person of a real clip, and the same one four times. All parts take turns in every round, so that a busy
machine slows all of them; medians over the rounds.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command line does

import numpy as np

from bodystream.cli.prepare import chain_of, prepared
from bodystream.models.dense import CorrespondenceNet
from bodystream.models.dense_input import baseline_of, net_input, points_in_grid, view_of
from bodystream.models.pose import PoseNet
from bodystream.models.runtime import open_session
from bodystream.models.store import fetch
from bodystream.pipeline.chain import Chain
from bodystream.pipeline.source import open_source
from bodystream.pipeline.stages import Choices, Placement
from bodystream.pipeline.stages.dense import DenseCorrespondence

CLIP, FRAME = "pose2sim-single-cam03", 30


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--spin", action="store_true")
    given = parser.parse_args()
    pose, dense = prepared(["blazepose-full", "dense-s"], offline=False)
    placement = Placement("cpu", given.threads, given.spin)
    chain = Chain(chain_of(Choices(dense="dense-s"), placement, offline=False), time.monotonic_ns)
    for frame in open_source(str(fetch(CLIP))):
        people, _, _ = chain(frame)
        if frame.index == FRAME:
            break
    person = people[0]
    assert person.next_crop and person.body and person.mask and person.landmarks is not None
    look, correct = (
        open_session(path, device="cpu", threads=given.threads, spin=given.spin) for path in (pose, dense)
    )
    net, looks = CorrespondenceNet(correct), PoseNet(look)
    stage, bare = DenseCorrespondence(net), DenseCorrespondence()
    view = view_of(person.mask.probability, person.mask.to_image, person.landmarks)
    assert view is not None
    inputs = net_input(view.mask, baseline_of(person.body, view), points_in_grid(person.body, view))
    parts: dict[tuple[str, int], Callable[[], object]] = {}
    for count in (1, 4):
        batch, crops, all_of_them = np.stack([inputs] * count), [person.next_crop] * count, [person] * count
        parts["segment: crops and BlazePose full", count] = lambda crops=crops: looks(frame.image, crops)
        parts["dense: the whole stage", count] = lambda people=all_of_them: stage(frame, people)
        parts["  of it the baseline", count] = lambda people=all_of_them: bare(frame, people)
        parts["  of it dense-s", count] = lambda batch=batch: net(batch)
    times: dict[tuple[str, int], list[float]] = {key: [] for key in parts}
    for _ in range(given.runs + 3):
        for key, part in parts.items():
            start = time.perf_counter()
            part()
            times[key].append((time.perf_counter() - start) * 1e3 / key[1])
    for name in dict.fromkeys(name for name, _ in parts):
        row = [statistics.median(times[name, count][3:]) for count in (1, 4)]
        least = [min(times[name, count][3:]) for count in (1, 4)]
        print(
            f"{name:36} {row[0]:6.2f} ({least[0]:.2f}) {row[1]:6.2f} ({least[1]:.2f})  ms a person, 1 and 4; least"
        )


if __name__ == "__main__":
    main()
