"""What dense-s is trained on and what it is judged by: people in different poses, moved by different people."""

from pathlib import Path

from bodystream.training.generator import Generator
from bodystream.training.poses import read_poses

# A ninth of the poses: walks, many everyday actions, sports, martial arts, and one that nobody else does.
HELD_OUT_SUBJECTS = ("07", "13", "86", "dance martial", "x_zombie")


def sources(poses: Path | None) -> tuple[Generator, Generator]:
    """The source to learn from and the held-out one, from the archives in a folder or from the sampler alone.

    Raises what `read_poses` raises.
    """
    if poses is None:
        return Generator(None), Generator(None)
    known = read_poses(poses)
    return Generator(known.without(HELD_OUT_SUBJECTS)), Generator(known.of(HELD_OUT_SUBJECTS))
