"""Pictures as a source: a folder, a glob, a numbered sequence, a single one."""

import re
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from threading import Event

import cv2
import numpy as np
import PIL.Image
from PIL.ExifTags import IFD, Base

from bodystream.errors import SourceNotFound, SourceUnreadable
from bodystream.pipeline.source.feed import Feed
from bodystream.pipeline.source.pick import Pick, pick, picked_length
from bodystream.pipeline.time import rate_text
from bodystream.pipeline.types import Frame, Image, SourceInfo, Span

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
DEFAULT_RATE = Fraction(25)  # what FFmpeg gives to picture sequences
DIAGONAL_MM = float(
    np.hypot(36, 24)
)  # of the 35 mm format, by whose diagonal equivalent focal lengths are reckoned
NUMBER = re.compile(r"%(0\d+)?d")


def is_picture(path: Path) -> bool:
    """By its suffix."""
    return path.suffix.lower() in SUFFIXES


def folder_pictures(folder: Path) -> list[Path]:
    """The pictures of a folder, not of those within it, as a person counts: 2.png before 10.png.

    Raises SourceNotFound where there are none.
    """
    inside = [path for path in folder.iterdir() if path.is_file()]
    return _some_pictures(inside, f"folder {folder}")


def glob_pictures(pattern: str) -> list[Path]:
    """The pictures that a pattern names, `**` for any depth, in natural order. Raises SourceNotFound."""
    path = Path(pattern)
    base = Path(path.anchor) if path.is_absolute() else Path()
    matches = base.glob(str(path.relative_to(base)) if path.is_absolute() else pattern)
    return _some_pictures([match for match in matches if match.is_file()], f"pattern {pattern}")


def sequence_pictures(pattern: str) -> tuple[list[Path], str | None]:
    """The files that `name%06d.png` numbers, by their number, and a note where numbers are missing.

    Raises SourceNotFound where there are none.
    """
    path = Path(pattern)
    head, width, tail = _split_number(path.name)
    digits = rf"\d{{{int(width)},}}" if width else r"\d+"
    named = re.compile(re.escape(head) + rf"({digits})" + re.escape(tail))
    folder = path.parent
    found = {
        int(match[1]): entry
        for entry in (folder.iterdir() if folder.is_dir() else ())
        if (match := named.fullmatch(entry.name))
    }
    if not found:
        raise SourceNotFound(
            f"no file is named {pattern}. Check the number of digits and the folder {folder}."
        )
    numbers = sorted(found)
    missing = numbers[-1] - numbers[0] + 1 - len(numbers)
    note = f"{missing} numbers are missing between {numbers[0]} and {numbers[-1]}; the rest was closed up"
    return [found[number] for number in numbers], note if missing else None


def open_pictures(
    paths: Sequence[Path],
    name: str,
    want: Pick,
    clock: Callable[[], int],
    *,
    rate: Fraction | None = None,
    notes: Iterable[str] = (),
) -> Feed:
    """Pictures in the given order as a source of `rate` frames a second.

    `index` is the place in the list, media time is index / rate, turned upright by the EXIF orientation.
    Sizes may differ; `info` has that of the first picture that opens. One that cannot be decoded is counted
    under "decode errors" and left out, its index with it. Raises SourceUnreadable where none can be.
    """
    opened = ((path, image) for path in paths if (image := _read(path)) is not None)
    first_path, first = next(opened, (None, None))
    if first_path is None or first is None:
        which = paths[0].name if len(paths) == 1 else f"none of the {len(paths)} pictures of {name}"
        verb = "is not a picture that OpenCV decodes" if len(paths) == 1 else "can be decoded"
        raise SourceUnreadable(f"{which} {verb}. Open it in a viewer; save it as PNG or JPEG.")
    told = list(notes)
    if rate is None and len(paths) > 1:
        told.append(
            f"pictures state no rate; taken as {rate_text(DEFAULT_RATE)} fps. Give --fps for another."
        )
    info = SourceInfo(
        name=name,
        width=first.shape[1],
        height=first.shape[0],
        rate=rate or DEFAULT_RATE,
        live=False,
        length=picked_length(len(paths), want),
        start=want.start,
        focal_px=_focal_px(first_path, first),
        notes=tuple(told),
    )
    counts = {"decode errors": 0}
    closed = Event()
    return Feed(info, counts, _frames(paths, info, want, clock, counts, closed), lambda: None, closed)


@dataclass(frozen=True, slots=True)
class _Place:
    index: int
    pts: Fraction
    path: Path


def _frames(
    paths: Sequence[Path],
    info: SourceInfo,
    want: Pick,
    clock: Callable[[], int],
    counts: dict[str, int],
    closed: Event,
) -> Generator[Frame, None, None]:
    rate = info.rate or DEFAULT_RATE
    places = (_Place(index, index / rate, path) for index, path in enumerate(paths))
    for place in pick(places, want):
        if closed.is_set():
            return
        began = clock()
        image = _read(place.path)
        if image is None:
            counts["decode errors"] += 1
            continue
        span = Span("decode", place.index, began, 0, clock() - began)
        yield Frame(place.index, place.pts, began, image, info.name, file=place.path.name, spans=(span,))


def _read(path: Path) -> Image | None:
    """The picture upright in BGR, or None where it cannot be read."""
    try:
        # Not cv2.imread: it warns on stderr, and on Windows it cannot open every name.
        image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error):  # cv2.error: an empty file
        return None
    return None if image is None else np.asarray(image, np.uint8)


def _focal_px(path: Path, image: Image) -> float | None:
    """The focal length that a camera has written into its picture, as long as the 35 mm format's; None if not."""
    try:
        with PIL.Image.open(path) as picture:
            equivalent_mm = picture.getexif().get_ifd(IFD.Exif).get(Base.FocalLengthIn35mmFilm)
    except (OSError, ValueError, SyntaxError):  # what Pillow cannot open, OpenCV may
        return None
    return float(equivalent_mm) / DIAGONAL_MM * float(np.hypot(*image.shape[:2])) if equivalent_mm else None


def _some_pictures(paths: Iterable[Path], where: str) -> list[Path]:
    entries = list(paths)
    pictures = sorted(filter(is_picture, entries), key=_natural)
    if pictures:
        return pictures
    found = f"{len(entries)} other files, such as {min(entries).name}" if entries else "no file"
    raise SourceNotFound(
        f"{where} holds no pictures: expected {' '.join(sorted(SUFFIXES))}, found {found}. "
        "A video file is named by itself."
    )


def _natural(path: Path) -> tuple[tuple[int, int | str], ...]:
    """Digits compare as numbers, everything else as lower-case text."""
    parts = re.split(r"(\d+)", str(path).lower())
    return tuple((0, int(part)) if part.isdecimal() else (1, part) for part in parts)


def _split_number(name: str) -> tuple[str, str | None, str]:
    match = NUMBER.search(name)
    assert match, f"{name} has no %d"  # open_source has looked
    return name[: match.start()], match[1], name[match.end() :]
