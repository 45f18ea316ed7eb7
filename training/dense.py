"""What dense-s is trained on and what it is judged by: people in different poses, moved by different people."""

from pathlib import Path

from bodystream.training.generator import Generator
from bodystream.training.poses import read_poses

# An eighth of the poses: everyday actions, walks, martial arts, and one that nobody else does.
HELD_OUT_SUBJECTS = ("14", "35", "dance martial", "x_charleston")
LOOKS = 3  # at each posed person: the errors are drawn anew, which costs less than another person


def sources(poses: Path | None) -> tuple[Generator, Generator]:
    """The source to learn from and the held-out one, from the archives in a folder or from the sampler alone.

    Raises what `read_poses` raises.
    """
    known = None if poses is None else read_poses(poses).without(HELD_OUT_SUBJECTS)
    return Generator(known, looks=LOOKS), held_out_source(poses)


def held_out_source(poses: Path | None, *, exact: bool = False) -> Generator:
    """The held-out one; `exact` leaves the errors of landmarks and masks out. Raises what `read_poses` raises."""
    return Generator(None if poses is None else read_poses(poses).of(HELD_OUT_SUBJECTS), exact=exact)
