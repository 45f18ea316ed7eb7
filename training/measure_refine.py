"""Measure what dense correspondence adds to the kinematic fit, on rendered synthetic people.

    python -m bodystream.training.measure_refine --poses mocap --people 100

Everybody is dressed, posed, put before a pinhole camera and rendered; landmarks, world landmarks and mask get errors
as `errors` and `silhouette` give dense-s' training people; then dense-s and the fit do their work. Bone lengths are
within 4 % of the truth. Single frames, shown four times, so that the fit comes to rest.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from time import process_time

import numpy as np

from bodystream.export.prepare import prepare
from bodystream.models.body.kinematics import posed, skeleton_of
from bodystream.models.body.raster import render
from bodystream.models.body.skin import blend
from bodystream.models.crop import Crop
from bodystream.models.dense import CorrespondenceNet
from bodystream.models.runtime import open_session
from bodystream.pipeline.poses import Weights
from bodystream.pipeline.stages.body import PoseBody
from bodystream.pipeline.stages.dense import DenseCorrespondence
from bodystream.pipeline.stages.pose3d import FitPose3d
from bodystream.pipeline.types import Dense, Floats, Frame, Mask, Person
from bodystream.training import errors, poses
from bodystream.training.dense.silhouette import seen_mask
from bodystream.training.measure_fit import LENS, LIMBS, SIZE, aligned_error
from bodystream.training.people import articulated, landmarks_of, make_figure

PIXELS = 256  # of a mask's side, as the landmark net's
SHOWN = 4  # times
IMAGE = np.broadcast_to(np.uint8(0), (SIZE[1], SIZE[0], 3))


@dataclass(frozen=True)
class Scene:
    """Somebody as seen, with the maps of dense-s, and their true landmarks (33, 3) and dense map."""

    person: Person
    landmarks: Floats
    dense: Dense


def scenes(folder: Path, count: int) -> Iterator[Scene]:
    """Draw people; who cannot be posed is left out."""
    rng, motion = np.random.default_rng(11), poses.read_poses(folder)
    dense = DenseCorrespondence(CorrespondenceNet(open_session(prepare("dense-s"))))
    body = PoseBody()
    for _ in range(count):
        chosen = rng.choice(len(motion.turns), p=motion.chances)
        turns = motion.turns[chosen] if rng.random() < 0.6 else poses.sampled_pose(rng)
        person, landmarks, exact, lengths = _seen(turns, rng)
        body.reset()
        frame = Frame(0, Fraction(0), 0, IMAGE, "")
        (person,) = body(frame, [person])
        if person.body is not None:
            (person,) = dense(frame, [person])
            assert person.body is not None
            yield Scene(replace(person, body=replace(person.body, lengths=lengths)), landmarks, exact)


def _seen(turns: Floats, rng: np.random.Generator) -> tuple[Person, Floats, Dense, Floats]:
    """A person with errors; the true landmarks (33, 3), m, and dense map; bone lengths (7,) as they are known."""
    figure, camera = make_figure(rng), LENS.of(SIZE)
    segments = articulated(turns, figure.joints)
    vertices, landmarks = blend(figure.body, segments), landmarks_of(figure, segments)
    elevation = poses.about_x(np.radians(rng.normal(6, 10)))
    turn = elevation @ poses.about_y(np.asarray(rng.uniform(-np.pi, np.pi)))
    place = np.array([rng.uniform(-0.8, 0.8), rng.uniform(-0.3, 0.3), rng.uniform(2.5, 5)])
    middle = landmarks[[23, 24]].mean(0)
    vertices, landmarks = ((each - middle) @ turn.T + place for each in (vertices, landmarks))
    scale = camera.K[0, 0] / place[2]  # px a metre
    flat = np.column_stack([camera.project(vertices), (vertices[:, 2] - place[2]) * scale]).astype(np.float32)
    pixels = camera.project(landmarks).astype(np.float32)
    low, high = flat[:, :2].min(0), flat[:, :2].max(0)
    step = 1.15 * float((high - low).max()) / PIXELS
    corner = (low + high) / 2 - step * PIXELS / 2
    drawn = render(
        flat, np.array([[1 / step, 0, -corner[0] / step], [0, 1 / step, -corner[1] / step]]), PIXELS
    )
    in_grid = (pixels - corner) / step
    column, row = np.clip(in_grid.astype(int), 0, PIXELS - 1).T
    behind = (landmarks[:, 2] - place[2]) * scale / step - drawn.depth[row, column]
    hidden = np.asarray((drawn.part[row, column] > 0) & (behind > 0.1 * scale / step))
    outside = np.zeros(33, bool)
    seen = errors.disturbed(pixels, hidden, outside, step, rng)
    world = errors.disturbed_world((landmarks - place).astype(np.float32), seen, rng)
    mask, _ = seen_mask(drawn.part > 0, in_grid[[15, 16, 27, 28]].astype(np.float32), rng)
    to_image = np.array([[step, 0, corner[0]], [0, step, corner[1]]])
    box = np.concatenate([low, high]).astype(np.float32)
    person = Person(box, 1.0, 1, Mask(mask, to_image), seen, world, Crop(0, 0, 1))
    exact = Dense(drawn.part, drawn.uv, np.full_like(drawn.part, 255), to_image)
    lengths = (figure.lengths * np.exp(rng.normal(0, 0.04, 7))).astype(np.float32)
    return person, landmarks.astype(np.float32), exact, lengths


def show(name: str, people: list[Scene], weight: float, exact: bool = False) -> None:
    """Print a row: means over people; PA-MPJPE, MPJPE, across and along the line of sight, mm; root, cm; px; ms."""
    camera, rows = LENS.of(SIZE), []
    for scene in people:
        stage = FitPose3d(LENS, contacts=False, refine=weight > 0, weights=Weights(surface=weight))
        person = replace(scene.person, dense=scene.dense if exact else scene.person.dense)
        for i in range(SHOWN):
            begin = process_time()
            (found,) = stage(Frame(i, Fraction(i, 30), 0, IMAGE, ""), [person])
            spent = process_time() - begin
        assert found.pose3d is not None
        _, points = posed(skeleton_of(found.pose3d.lengths), found.pose3d.turns, found.pose3d.root)
        hips, true_hips = points[[23, 24]].mean(0), scene.landmarks[[23, 24]].mean(0)
        a, b = points[LIMBS] - hips, scene.landmarks[LIMBS] - true_hips
        pixels = np.linalg.norm(
            camera.project(points[LIMBS]) - camera.project(scene.landmarks[LIMBS]), axis=1
        )
        away = 1000 * (a - b)
        rows.append(
            (
                1000 * aligned_error(a[None], b[None]),
                np.linalg.norm(away, axis=1).mean(),
                np.linalg.norm(away[:, :2], axis=1).mean(),
                np.abs(away[:, 2]).mean(),
                100 * np.linalg.norm(hips - true_hips),
                pixels.mean(),
                1000 * spent,
            )
        )
    told = zip(
        ("pa", "mpjpe", "across", "depth", "root", "px", "ms"), np.mean(np.array(rows), axis=0), strict=True
    )
    print(f"{name:26}", " ".join(f"{key} {value:6.1f}" for key, value in told), flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--poses", type=Path, required=True)
    parser.add_argument("--people", type=int, default=100)
    given = parser.parse_args()
    people = list(scenes(given.poses, given.people))
    show("fit", people, 0.0)
    for weight in (0.1, 0.3, 1.0):
        show(f"+ dense-s, weight {weight}", people, weight)
    show("+ true dense maps, 0.3", people, 0.3, exact=True)


if __name__ == "__main__":
    main()
