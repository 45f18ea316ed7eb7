from fractions import Fraction

import numpy as np
import pytest

from bodystream.pipeline.filters import MEDIAPIPE, VNECT, OneEuro, one_euro


def filtered(signal, rate, settings, unit=1.0):
    last, out = None, []
    for i, value in enumerate(signal):
        last = one_euro(last, np.array([value], np.float32), Fraction(i, rate), settings, unit)
        out.append(float(last.value[0]))
    return out


def test_golden_second_sample():
    # Step 1 s, cut-off 1/(2 pi) Hz: alpha = 1/2 for both the velocity and, with beta 0, the value.
    settings = OneEuro(1 / (2 * np.pi), 0.0, 1 / (2 * np.pi))
    last = one_euro(None, np.array([0.0], np.float32), Fraction(0), settings)
    last = one_euro(last, np.array([8.0], np.float32), Fraction(1), settings)
    assert last.value[0] == pytest.approx(4.0)
    assert last.velocity[0] == pytest.approx(4.0)


def test_beta_lets_movement_through():
    # As above with beta 1/(2 pi): velocity 4, cut-off 5/(2 pi), alpha 5/6.
    settings = OneEuro(1 / (2 * np.pi), 1 / (2 * np.pi), 1 / (2 * np.pi))
    last = one_euro(None, np.array([0.0], np.float32), Fraction(0), settings)
    last = one_euro(last, np.array([8.0], np.float32), Fraction(1), settings)
    assert last.value[0] == pytest.approx(8 * 5 / 6)


@pytest.mark.parametrize("settings", [MEDIAPIPE.landmarks, MEDIAPIPE.world, VNECT.landmarks, VNECT.world])
def test_noise_on_a_still_point_gets_less(settings):
    noise = np.random.default_rng(0).normal(0, 0.002, 300)
    out = filtered(noise, 30, settings)
    assert np.std(np.diff(out[30:])) < 0.7 * np.std(np.diff(noise[30:]))


def test_twice_the_frame_rate_filters_the_same_motion_alike():
    slow = filtered(np.linspace(0, 1, 31), 30, MEDIAPIPE.world)
    fast = filtered(np.linspace(0, 1, 61), 60, MEDIAPIPE.world)
    assert np.abs(np.array(slow) - np.array(fast)[::2]).max() < 0.02


def test_the_unit_scales_with_the_person():
    small = filtered([0, 1, 3, 6, 10], 30, MEDIAPIPE.landmarks, unit=100)
    large = filtered([0, 10, 30, 60, 100], 30, MEDIAPIPE.landmarks, unit=1000)
    assert np.array(large) == pytest.approx(np.array(small) * 10, rel=1e-5)


def test_time_that_stands_still_or_runs_back_starts_afresh():
    last = one_euro(None, np.array([1.0], np.float32), Fraction(5), MEDIAPIPE.world)
    for pts in (Fraction(5), Fraction(4)):
        assert one_euro(last, np.array([9.0], np.float32), pts, MEDIAPIPE.world).value[0] == 9.0
