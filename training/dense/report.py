"""How good baseline and network are on held-out synthetic people, part by part.

    python -m bodystream.training.dense.report dense-s.safetensors --poses DIR --samples 2000

Prints Markdown tables: with the landmark net's errors and without, the baseline beside the network.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bodystream.models.body.surface import rest_points
from bodystream.models.dense_layout import GRID, MASK, PARTS
from bodystream.models.nets.correspondence import Correspondence, part_logits, uv_on
from bodystream.models.weights.correspondence import load_correspondence
from bodystream.training.dense.generator import Sample
from bodystream.training.dense.loss import by_cell
from bodystream.training.dense.task import held_out_source
from bodystream.training.learner import HELD_OUT_SEED

Floats = NDArray[np.float32]

GROUPS = {
    "torso": (1, 2),
    "hands": (3, 4),
    "feet": (5, 6),
    "upper legs": (7, 8, 9, 10),
    "lower legs": (11, 12, 13, 14),
    "upper arms": (15, 16, 17, 18),
    "lower arms": (19, 20, 21, 22),
    "head": (23, 24),
}
CONFIDENT = (0.0, 0.5, 0.7, 0.8, 0.9, 1.01)  # bins of the network's confidence
NEAR_PX = (0, 0.5, 2, 4, 8, 16, 128)  # bins of the distance to the drawn body, grid px


@dataclass(frozen=True, slots=True)
class Pixels:
    """Asked pixels of many people: the true `part` (M,), whether it was `right`, the `error` in cm along a
    straight line in the rest body, and what the answer was `sure` of: confidence, or distance in px.
    """

    part: NDArray[np.uint8]
    right: NDArray[np.bool_]
    error: Floats
    sure: Floats


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--poses", type=Path)
    parser.add_argument("--samples", type=int, default=2000)
    given = parser.parse_args()
    net = load_correspondence(given.weights)
    for exact in (False, True):
        samples = islice(held_out_source(given.poses, exact=exact).samples(HELD_OUT_SEED), given.samples)
        baseline, corrected = (_joined(each) for each in zip(*_answers(net, samples), strict=True))
        print(f"\n{given.samples} people, landmarks and masks {'without' if exact else 'with'} errors\n")
        print(table(baseline, corrected))
        if not exact:
            print(f"\nshare right by confidence: {_shares(corrected, CONFIDENT)}")
            print(f"baseline's by distance to the drawn body, px: {_shares(baseline, NEAR_PX)}")


def table(baseline: Pixels, corrected: Pixels) -> str:
    """A Markdown table: a row for all pixels and one for each group of parts."""
    lines = [
        "| | pixels | right, baseline | dense-s | median cm, baseline | dense-s | mean cm, baseline | dense-s |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, parts in {"all": tuple(range(1, PARTS + 1)), **GROUPS}.items():
        chosen = np.isin(baseline.part, parts)
        both = [(each.right[chosen], each.error[chosen]) for each in (baseline, corrected)]
        cells = [f"{right.mean():.3f}" for right, _ in both]
        cells += [f"{np.median(error):.2f}" for _, error in both]
        cells += [f"{error.mean():.2f}" for _, error in both]
        lines.append(f"| {name} | {chosen.mean():.3f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _answers(net: Correspondence, samples: Iterator[Sample]) -> Iterator[tuple[Pixels, Pixels]]:
    """Baseline and network on each sample."""
    for sample in samples:
        inputs = torch.from_numpy(sample.input())[None]
        with torch.inference_mode():
            out = net(inputs)
            logits = part_logits(out)  # (1, 25, S, 64, 64)
            best = logits[:, 1:].argmax(1) + 1  # (1, S, 64, 64)
            sure = logits.softmax(1).gather(1, best[:, None])[0, 0].numpy()  # (S, 64, 64)
            places = uv_on(out, best).clamp(0, 1)[0].numpy()  # (2, S, 64, 64)
        part, uv, mine, own_uv, far = (
            by_cell(torch.from_numpy(each.reshape(1, -1, GRID, GRID)))[0].numpy()
            for each in (
                sample.part,
                sample.uv,
                sample.baseline.part,
                sample.baseline.uv,
                sample.baseline.distance,
            )
        )  # (1 or 2, S, 64, 64)
        asked = (part[0] > 0) & (part[0] <= PARTS) & (inputs[0, MASK].numpy() > 0.5)  # (S, 64, 64)
        truth = part[0][asked]
        there = rest_points(truth, uv[:, asked].T)
        answers = ((mine[0], own_uv, far[0]), (best[0].byte().numpy(), places, sure))
        first, second = (
            Pixels(
                truth,
                found[asked] == truth,
                100 * np.linalg.norm(rest_points(found[asked], at[:, asked].T) - there, axis=1),
                given[asked],
            )
            for found, at, given in answers
        )
        yield first, second


def _joined(pixels: tuple[Pixels, ...]) -> Pixels:
    columns = zip(*((p.part, p.right, p.error, p.sure) for p in pixels), strict=True)
    return Pixels(*(np.concatenate(column) for column in columns))


def _shares(pixels: Pixels, edges: tuple[float, ...]) -> str:
    bins = np.digitize(pixels.sure, edges) - 1
    rows = ((low, pixels.right[bins == i]) for i, low in enumerate(edges[:-1]))
    return ", ".join(f"from {low:g} {right.mean():.3f} (n {len(right)})" for low, right in rows if len(right))


if __name__ == "__main__":
    main()
