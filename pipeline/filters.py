"""The one-euro filter, on media time."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from bodystream.pipeline.types import Floats


@dataclass(frozen=True, slots=True)
class OneEuro:
    """A low cut-off steadies what stands still; `beta`, Hz for each unit a second, lets go what moves."""

    min_cutoff_hz: float
    beta: float
    derivative_cutoff_hz: float = 1.0


@dataclass(frozen=True, slots=True)
class Preset:
    """Filters for landmarks (speed in sizes of the person's crop a second) and for world (m/s)."""

    landmarks: OneEuro
    world: OneEuro


# MediaPipe, pose_landmark_filtering.pbtxt: normalised by the size of the region of interest.
MEDIAPIPE = Preset(OneEuro(0.05, 80.0), OneEuro(0.1, 40.0))
# VNect (Mehta et al. 2017) filters 2D with 1.7 and 0.3, 3D with 0.8 and 0.4 (values of its public
# ports). Its 2D is in pixels of a 368 px crop; a crop size a second is 368 of them.
VNECT = Preset(OneEuro(1.7, 0.3 * 368), OneEuro(0.8, 0.4))
PRESETS = {"mediapipe": MEDIAPIPE, "vnect": VNECT}


@dataclass(frozen=True, slots=True)
class Filtered:
    """A filtered signal and what the next step needs to know: value and velocity, float32 of one shape."""

    value: Floats
    velocity: Floats
    raw: Floats
    pts: Fraction


def one_euro(
    last: Filtered | None, signal: Floats, pts: Fraction, settings: OneEuro, unit: float = 1.0
) -> Filtered:
    """Filter one sample; every element of `signal` by itself, and the first sample as it is.

    Speeds are counted in `unit`s of the signal a second (pass the size of the person for landmarks in px).

    Source: Casiez, Roussel, Vogel, "1€ Filter", CHI 2012. Time is media time: a file is filtered alike on
    a fast machine and on a slow one, and a variable frame rate is no trouble.
    """
    if last is None or pts <= last.pts:
        return Filtered(signal, np.zeros_like(signal), signal, pts)
    step_s = float(pts - last.pts)
    speed = (signal - last.raw) / step_s
    velocity = last.velocity + _alpha(settings.derivative_cutoff_hz, step_s) * (speed - last.velocity)
    cutoff_hz = settings.min_cutoff_hz + settings.beta * np.abs(velocity) / unit
    value = last.value + _alpha(cutoff_hz, step_s) * (signal - last.value)
    return Filtered(value.astype(np.float32), velocity.astype(np.float32), signal, pts)


def _alpha(cutoff_hz: Any, step_s: float) -> Any:
    """Share of the new sample in a first-order low-pass: 1 / (1 + 1 / (2 pi cutoff step))."""
    turn = 2 * math.pi * step_s * cutoff_hz
    return turn / (turn + 1)
