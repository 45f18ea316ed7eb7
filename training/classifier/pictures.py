"""Pictures and their classes: scikit-learn's digits, or a folder with a sub-folder to a class."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bodystream.errors import SourceNotFound, SourceUnreadable, UsageError
from bodystream.models.nets.backbones.lenet import SIDE
from bodystream.pipeline.source.folder import folder_pictures

DIGITS = "digits"  # what --data is told for them
EVERY = 5  # one picture in so many is held out
BORDER = 4  # px of paper around a digit
SHIFT = 2  # px that digits are moved at most, in learning
AREA, ASPECT = (
    (0.08, 1.0),
    (3 / 4, 4 / 3),
)  # of the part of a picture that is learnt from: GoogLeNet, section 6
WHOLE = 224 / 256  # of a picture's shorter side, that is judged: AlexNet, section 4.1

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Digits:
    """Grey pictures in memory, uint8 (M, 32, 32), 255 ink, and their classes, (M,).

    With `learn` an endless source of them, moved a little; else each once, in order.
    """

    images: Images
    labels: Labels
    learn: bool

    def batches(self, seed: int, rank: int, size: int) -> Iterator[tuple[Images, Labels]]:
        """Yield uint8 (N, 32, 32) and int64 (N,)."""
        rng = np.random.default_rng([seed, rank])
        for chosen in chosen_of(len(self.labels), self.learn, size, rng):
            yield np.stack([self._picture(each, rng) for each in chosen]), self.labels[chosen]

    def _picture(self, number: int, rng: np.random.Generator) -> Images:
        shift = rng.integers(-SHIFT, SHIFT + 1, size=2) if self.learn else (0, 0)
        return np.roll(self.images[number], shift, axis=(0, 1))  # the border is as wide as any shift


@dataclass(frozen=True, slots=True)
class Files:
    """Pictures to be read, and their classes; what is yielded has `side` × `side` px.

    With `learn` an endless source of parts of them, mirrored or not; else the middle of each once, in order.
    `grey` pictures are taken whole, as ink that is bright.
    """

    paths: tuple[Path, ...]
    labels: tuple[int, ...]
    side: int
    grey: bool
    learn: bool

    def batches(self, seed: int, rank: int, size: int) -> Iterator[tuple[Images, Labels]]:
        """Yield uint8 (N, side, side, 3) BGR, or (N, side, side), and int64 (N,)."""
        rng = np.random.default_rng([seed, rank])
        labels = np.array(self.labels, np.int64)
        for chosen in chosen_of(len(labels), self.learn, size, rng):
            yield np.stack([self._picture(self.paths[each], rng) for each in chosen]), labels[chosen]

    def _picture(self, path: Path, rng: np.random.Generator) -> Images:
        image = read(path, self.grey)
        if not self.grey:
            image = part_of(image, rng) if self.learn else middle_of(image)
        small = cv2.resize(image, (self.side, self.side), interpolation=cv2.INTER_AREA)
        return np.ascontiguousarray(small, np.uint8)


def chosen_of(count: int, learn: bool, size: int, rng: np.random.Generator) -> Iterator[NDArray[np.intp]]:
    """Numbers below `count`: in order, once; or, to learn, shuffled, again and again, all of `size`."""
    if not learn:
        yield from np.split(np.arange(count), range(size, count, size))
        return
    left = np.empty(0, np.intp)
    while True:
        while len(left) < size:
            left = np.concatenate([left, rng.permutation(count)])
        yield left[:size]
        left = left[size:]


def digits() -> tuple[Digits, Digits]:
    """scikit-learn's 1797 digits by 13 writers, to learn from and held out, mixed.

    (E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", 1998, the test part.) 8 × 8 cells become
    24 × 24 px amid a border. Raises UsageError where scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise UsageError(
            "the digits come with scikit-learn, which is not installed; pip install 'bodystream[train]'"
        ) from error
    table = load_digits()
    inner = SIDE - 2 * BORDER
    cells = (table.images * (255 / 16)).round().astype(np.uint8)  # (M, 8, 8), of 0..16
    large = [cv2.resize(each, (inner, inner), interpolation=cv2.INTER_LINEAR) for each in cells]
    images = np.pad(np.stack(large), [(0, 0), (BORDER, BORDER), (BORDER, BORDER)])  # (M, 32, 32)
    order = np.random.default_rng(0).permutation(len(images))
    held_out, learnt = np.arange(len(images)) % EVERY == 0, np.arange(len(images)) % EVERY > 0
    images, labels = images.astype(np.uint8)[order], table.target.astype(np.int64)[order]
    return (
        Digits(images[learnt], labels[learnt], learn=True),
        Digits(images[held_out], labels[held_out], learn=False),
    )


def classes_of(folder: Path) -> tuple[str, ...]:
    """The sub-folders' names, in order. Raises SourceNotFound where there are less than two."""
    if not folder.is_dir():
        raise SourceNotFound(f"{folder} is no folder; --data takes {DIGITS}, or a folder with one to a class")
    names = sorted(each.name for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
    if len(names) < 2:
        raise SourceNotFound(f"{folder} holds {len(names)} folders; expected two or more, one to a class")
    return tuple(names)


def files(folder: Path, side: int, grey: bool) -> tuple[Files, Files]:
    """A folder's pictures to learn from, and one in EVERY of each class, held out.

    Raises SourceNotFound where a class has no pictures or a single one.
    """
    learnt: list[tuple[Path, int]] = []
    held_out: list[tuple[Path, int]] = []
    for label, name in enumerate(classes_of(folder)):
        paths = folder_pictures(folder / name)
        if len(paths) < 2:
            raise SourceNotFound(
                f"{folder / name} holds one picture; expected two or more: some are held out"
            )
        held_out += [(path, label) for path in paths[::EVERY]]
        learnt += [(path, label) for number, path in enumerate(paths) if number % EVERY]
    paths_of, labels_of = zip(*learnt, strict=True)
    learn = Files(paths_of, labels_of, side, grey, learn=True)
    paths_of, labels_of = zip(*held_out, strict=True)
    return learn, replace(learn, paths=paths_of, labels=labels_of, learn=False)


def read(path: Path, grey: bool) -> Images:
    """A picture, BGR or grey. Raises SourceUnreadable."""
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR)
    except (OSError, cv2.error):  # cv2.error: an empty file
        image = None
    if image is None:
        raise SourceUnreadable(f"{path} cannot be read as a picture; remove it from the folder")
    return np.asarray(image, np.uint8)


def part_of(image: Images, rng: np.random.Generator) -> Images:
    """A part of a random area and aspect, mirrored or not; see AREA."""
    height, width = image.shape[:2]
    area = rng.uniform(*AREA) * height * width
    aspect = np.exp(rng.uniform(*np.log(ASPECT)))
    h, w = (
        min(round(np.sqrt(each)), most) for each, most in ((area / aspect, height), (area * aspect, width))
    )
    h, w = max(h, 1), max(w, 1)
    y, x = rng.integers(height - h + 1), rng.integers(width - w + 1)
    part = image[y : y + h, x : x + w]
    return part[:, ::-1] if rng.random() < 0.5 else part


def middle_of(image: Images) -> Images:
    """The square in the middle; see WHOLE."""
    height, width = image.shape[:2]
    side = max(round(WHOLE * min(height, width)), 1)
    y, x = (height - side) // 2, (width - side) // 2
    return image[y : y + side, x : x + side]


def sources(data: str | Path, network: str, size: int = 224) -> tuple[Digits, Digits] | tuple[Files, Files]:
    """What a classifier learns from and what it is judged by: DIGITS, or a folder's pictures at `size` px.

    LeNet-5 takes grey pictures of 32 px, whatever `size` says. Raises UsageError, SourceNotFound.
    """
    grey = network == "lenet-5"
    if str(data) != DIGITS:
        return files(Path(data), SIDE if grey else size, grey)
    if not grey:
        raise UsageError(
            f"--data {DIGITS} are grey pictures of {SIDE} px, for lenet-5 alone, not for {network}"
        )
    return digits()


def classes(data: str | Path) -> tuple[str, ...]:
    """What the classes are called, in the order of the logits. Raises as `classes_of`."""
    return tuple("0123456789") if str(data) == DIGITS else classes_of(Path(data))
