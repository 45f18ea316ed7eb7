"""A result drawn over its image: silhouettes, body surfaces, skeletons, boxes, ids, and the stage times in a corner."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from bodystream.models.keypoints import Layout, layout_of
from bodystream.pipeline.draw_surface import Skin, paint
from bodystream.pipeline.types import Floats, Image, Person, Result, Silhouette

Colour = tuple[int, int, int]  # BGR

# One colour an id, by turns. Found by search for the largest distance between any two (CIE 1976, ΔE over 30),
# as seen with full vision and without red or green cones (Machado et al. 2009); a test holds it.
PALETTE: tuple[Colour, ...] = (
    (164, 213, 46),
    (223, 67, 67),
    (37, 239, 236),
    (248, 205, 159),
    (140, 246, 204),
    (222, 129, 121),
    (37, 109, 239),
    (75, 67, 208),
)
NOBODY: Colour = (190, 190, 190)  # a person that has no id yet
# Orange and blue stay apart for every common colour blindness (Okabe and Ito, Color Universal Design, 2008).
LEFT: Colour = (36, 140, 255)
RIGHT: Colour = (255, 176, 56)
MIDDLE: Colour = (255, 255, 255)
INK: Colour = (26, 22, 20)  # casings and dark text
SIDES = {"left": LEFT, "right": RIGHT, "middle": MIDDLE}
LABEL: Colour = (196, 190, 186)  # names in the HUD, quieter than the figures beside them

FILL = 0.4  # share of the id's colour in a silhouette: the picture below stays readable
SHADE = 0.65  # share of black below the HUD: white text reads on a white sky
SURE = 0.5  # confidence from which a joint is drawn solid: even odds of being visible
GUESSED = 0.2  # from here to there it is drawn hollow, and not at all below
ROOM = (
    1.5  # px of stroke from which there is room for points that crowd, dark casings and discs at the joints
)
ROUND_PX = 4.0  # radius below which cv2's circles have corners: no dark ring round those
FRACTION_BITS = 4  # of cv2's coordinates: sixteenths of a pixel, so that slow motion does not judder
FAR_PX = 32_000  # what lies further out is not drawn: cv2's fixed-point coordinates overflow quietly
FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True, slots=True)
class Layers:
    """Which parts of a drawing are wanted."""

    masks: bool = True  # silhouettes: tinted, or outlined alone where a surface is painted in them
    surface: bool = True  # of people who have a dense map
    skeleton: bool = True
    boxes: bool = True
    ids: bool = True
    hud: bool = True
    skin: Skin = "parts"  # how the surface is painted


ALL = Layers()


def draw(image: Image, result: Result, layers: Layers = ALL, hud: Sequence[str] = ()) -> Image:
    """Draw `result` over a copy of `image`, and the lines of `hud` in its upper left corner.

    `image` is uint8 (H, W, 3) BGR with `result.size` = (W, H), and is not written to. What follows a tab in a
    line of `hud` is set flush right.
    """
    canvas = image.copy()
    short_px = min(canvas.shape[:2])  # the shorter side: upright phone videos get the strokes of level ones
    # The largest first, so that small people stay visible.
    order = sorted(range(len(result.people)), key=lambda i: -_extent_px(result.people[i]))
    people = [result.people[i] for i in order]
    painted = _paint_surfaces(canvas, result, order, layers) if layers.surface else set()
    if layers.masks:
        for i in order:
            silhouette = result.silhouettes[i]
            if silhouette is not None:
                colour = colour_of(result.people[i].id)
                _draw_silhouette(canvas, silhouette, colour, _hairline(short_px), tint=i not in painted)
    if layers.boxes:
        for person in people:
            _draw_box(canvas, person, _hairline(short_px))
    if layers.skeleton:
        layout = layout_of(result.keypoints)
        for person in people:
            if person.landmarks is not None:
                _draw_skeleton(canvas, person.landmarks, layout, _stroke_px(short_px, person))
    if layers.ids:
        for person in people:
            _draw_id(canvas, person, _font_scale(short_px, _extent_px(person)))
    if layers.hud and hud:
        _draw_hud(canvas, hud, _font_scale(short_px))
    return canvas


class Hud:
    """Turns results into lines for `draw`: frames a second, then a line a step, smoothed."""

    def __init__(self) -> None:
        self._rate = Rate()
        self._steps_ms: dict[str, _Smooth] = {}

    def __call__(self, result: Result) -> tuple[str, ...]:
        r"""Take in the spans of `result` and return lines such as "fps\t28.4" and "detect\t11.8 ms"."""
        for span in result.spans:
            self._steps_ms.setdefault(span.stage, _Smooth()).add(span.host_ns / 1e6)
        fps = self._rate(result)
        rate = () if fps is None else (f"fps\t{fps:.1f}",)
        return rate + tuple(f"{step}\t{time.value:.1f} ms" for step, time in self._steps_ms.items())


class Rate:
    """Results a second of wall time, smoothed; taken between the starts of the last steps of two results."""

    def __init__(self) -> None:
        self._interval_ns = _Smooth()
        self._last_ns: int | None = None

    def __call__(self, result: Result) -> float | None:
        """Take in the spans of `result` and return the rate; None before the second result."""
        # Steps of earlier frames that are reported late (draw, encode) do not tell when this frame was done.
        starts_ns = [span.start_ns for span in result.spans if span.frame == result.index]
        newest_ns = max(starts_ns, default=None)
        # Two sinks that share a HUD show each result twice; only the first time counts.
        if newest_ns is not None and (self._last_ns is None or newest_ns > self._last_ns):
            if self._last_ns is not None:
                self._interval_ns.add(newest_ns - self._last_ns)
            self._last_ns = newest_ns
        return 1e9 / self._interval_ns.value if self._interval_ns.value > 0 else None


class _Smooth:
    """A mean of all values at first, of the newest ones later; the first, a warm-up, yields to the second."""

    SHARE = 0.1  # of the newest value: about the last 20 count, two thirds of a second at 30 a second

    def __init__(self) -> None:
        self.value = 0.0
        self._count = 0

    def add(self, value: float) -> None:
        share = max(self.SHARE, 1 / max(1, self._count))
        self.value += share * (value - self.value)
        self._count += 1


def colour_of(person_id: int) -> Colour:
    """Give the colour (BGR) of a person's silhouette, box and plate; the same for the same id, always."""
    return PALETTE[(person_id - 1) % len(PALETTE)] if person_id > 0 else NOBODY


def _paint_surfaces(canvas: Image, result: Result, order: Sequence[int], layers: Layers) -> set[int]:
    """Paint the people who have a dense map, and return which they are."""
    if all(person.dense is None for person in result.people):
        return set()  # and no mask is pasted for it
    surfaces = {i: iuv for i in order if (iuv := result.surfaces[i]) is not None}
    for iuv in surfaces.values():
        paint(canvas, iuv, layers.skin, _hairline(min(canvas.shape[:2])))
    return set(surfaces)


def _draw_silhouette(
    canvas: Image, silhouette: Silhouette, colour: Colour, hairline: int, *, tint: bool
) -> None:
    height, width = silhouette.inside.shape
    region = canvas[silhouette.y : silhouette.y + height, silhouette.x : silhouette.x + width]
    inside = silhouette.inside.view(np.uint8)
    if tint:
        # A look-up and a masked copy of the person's rectangle: boolean indexing costs ten times as much.
        cv2.copyTo(cv2.LUT(region, _blend(colour, FILL)), inside, region)
    contours, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_TC89_L1)
    corner = (silhouette.x, silhouette.y)
    cv2.drawContours(canvas, contours, -1, colour, hairline, cv2.LINE_AA, offset=corner)


def _draw_box(canvas: Image, person: Person, hairline: int) -> None:
    if not _drawable(person.box):
        return
    x0, y0, x1, y1 = (round(float(edge)) for edge in person.box)
    # Box coordinates are edges of pixels, cv2's are pixels: the last one inside is one less.
    cv2.rectangle(canvas, (x0, y0), (x1 - 1, y1 - 1), colour_of(person.id), hairline)


def _draw_skeleton(canvas: Image, landmarks: Floats, layout: Layout, stroke: float) -> None:
    # The points of face and hands are drawn finer than the limbs, and not where the person is small.
    fine = layout.crowded
    joints = [j for j, point in enumerate(landmarks) if point[2] >= GUESSED and _drawable(point[:2])]
    if stroke < ROOM:
        joints = [j for j in joints if j not in fine]
    sure = {j: bool(landmarks[j, 2] >= SURE) for j in joints}
    at = {j: _fixed(landmarks[j]) for j in joints}
    limbs = [(a, b, side) for a, b, side in layout.edges if a in at and b in at]
    casing = stroke / 3 if stroke >= ROOM else 0.0

    def limb_px(a: int, b: int) -> float:
        return stroke / 2 if a in fine or b in fine or not (sure[a] and sure[b]) else stroke

    # All casings come first, so that limbs that meet are one figure with one dark outline.
    if casing:
        for a, b, _ in limbs:
            _line(canvas, at[a], at[b], INK, limb_px(a, b) + 2 * casing)
    for a, b, side in limbs:
        _line(canvas, at[a], at[b], SIDES[side], limb_px(a, b))
    for j in joints if casing else ():
        radius = stroke * (0.6 if j in fine else 1.1)
        if radius + casing >= ROUND_PX:
            _disc(canvas, at[j], INK, radius + casing)
        _disc(canvas, at[j], SIDES[layout.sides[j]], radius)
        if not sure[j]:
            _disc(canvas, at[j], INK, radius * 0.6)


def _draw_id(canvas: Image, person: Person, scale: float) -> None:
    if person.id <= 0 or not _drawable(person.box):
        return
    height, width = canvas.shape[:2]
    x0, y0, x1, y1 = (round(float(edge)) for edge in person.box)
    if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
        return
    text, colour = str(person.id), colour_of(person.id)
    text_w, text_h = _text_px(text, scale)
    pad = round(text_h * 0.45)
    plate_w, plate_h = max(text_w, text_h) + 2 * pad, text_h + 2 * pad
    left = max(0, min(x0, width - plate_w))
    top = y0 - plate_h if y0 >= plate_h else max(0, y0)  # above the box, or within it where there is no room
    cv2.rectangle(canvas, (left, top), (left + plate_w - 1, top + plate_h - 1), colour, cv2.FILLED)
    ink = INK if _luma(colour) > 120 else MIDDLE
    _text(canvas, text, left + (plate_w - text_w) // 2, top + pad + text_h, scale, ink)


def _draw_hud(canvas: Image, lines: Sequence[str], scale: float) -> None:
    rows = [line.partition("\t")[::2] for line in lines]
    _, text_h = _text_px("0", scale)
    pad, pitch, gap = text_h, round(text_h * 1.75), 2 * text_h
    labels_w = max(_text_px(label, scale)[0] for label, _ in rows)
    values_w = max(_text_px(value, scale)[0] for _, value in rows)
    inner_w = labels_w + (gap + values_w if values_w else 0)
    x, y = pad, pad
    panel = canvas[y : y + pitch * len(rows) + pad, x : x + inner_w + 2 * pad]
    if not panel.size:  # an image of a few pixels
        return
    panel[:] = cv2.LUT(panel, _blend(INK, SHADE))
    for n, (label, value) in enumerate(rows):
        baseline = y + pad + n * pitch + text_h
        _text(canvas, label, x + pad, baseline, scale, LABEL)
        _text(canvas, value, x + pad + inner_w - _text_px(value, scale)[0], baseline, scale, MIDDLE)


def _extent_px(person: Person) -> float:
    return float(max(person.box[2:] - person.box[:2])) if _drawable(person.box) else 0.0


def _hairline(short_px: int) -> int:
    return max(1, round(short_px / 500))  # 1 px at 360p and 720p, 4 px at 4K


def _stroke_px(short_px: int, person: Person) -> float:
    # An 80th of the person, who stays visible below it, up to a 110th of the picture in a close-up.
    return max(1.0, min(short_px / 110, _extent_px(person) / 80))


def _font_scale(short_px: int, beside_px: float = np.inf) -> float:
    # 0.4 is the smallest scale at which the font's letters are told apart.
    return max(0.4, min(short_px / 1200, beside_px / 200))


def _drawable(values: Floats) -> bool:
    return bool((np.abs(values) < FAR_PX).all())  # false for NaN and infinity as well


def _blend(colour: Colour, share: float) -> Image:
    """Table (1, 256, 3) that mixes each channel's value with `share` of `colour`."""
    values = np.arange(256.0)[:, None]
    return (values * (1 - share) + np.array(colour) * share + 0.5).astype(np.uint8)[None]


def _luma(colour: Colour) -> float:
    blue, green, red = colour
    return 0.114 * blue + 0.587 * green + 0.299 * red  # ITU-R BT.601


def _fixed(point: Floats) -> tuple[int, int]:
    # Our coordinates count edges of pixels, cv2's their centres: half a pixel less.
    x, y = ((point[:2] - 0.5) * (1 << FRACTION_BITS)).round().astype(int).tolist()
    return x, y


def _line(canvas: Image, start: tuple[int, int], end: tuple[int, int], colour: Colour, px: float) -> None:
    cv2.line(canvas, start, end, colour, max(1, round(px)), cv2.LINE_AA, FRACTION_BITS)


def _disc(canvas: Image, centre: tuple[int, int], colour: Colour, radius_px: float) -> None:
    radius = round(radius_px * (1 << FRACTION_BITS))
    cv2.circle(canvas, centre, radius, colour, cv2.FILLED, cv2.LINE_AA, FRACTION_BITS)


def _text_px(text: str, scale: float) -> tuple[int, int]:
    (width, height), _ = cv2.getTextSize(text, FONT, scale, _weight(scale))
    return width, height


def _text(canvas: Image, text: str, x: int, baseline: int, scale: float, colour: Colour) -> None:
    cv2.putText(canvas, text, (x, baseline), FONT, scale, colour, _weight(scale), cv2.LINE_AA)


def _weight(scale: float) -> int:
    return max(1, round(1.4 * scale))
