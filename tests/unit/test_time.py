from fractions import Fraction

import pytest

from bodystream.pipeline.time import Timeline, exact, from_ns, rate_text, snap_rate


def test_seconds_are_what_was_typed() -> None:
    assert exact(0.1) == Fraction(1, 10)  # the binary 0.1 is above it, and would drop the frame at 1/10
    assert exact("2.5") == Fraction(5, 2)
    assert exact(Fraction(1, 3)) == Fraction(1, 3)
    assert from_ns(1_500_000_000) == Fraction(3, 2)


@pytest.mark.parametrize(
    ("stated", "meant"),
    [
        (29.97, Fraction(30000, 1001)),
        (23.976, Fraction(24000, 1001)),
        (23.98, Fraction(24000, 1001)),
        (59.94, Fraction(60000, 1001)),
        ("30000/1001", Fraction(30000, 1001)),
        (30.002, Fraction(30)),
        (30, Fraction(30)),
        (7.5, Fraction(15, 2)),
        (Fraction(25, 2), Fraction(25, 2)),
        (0.2, Fraction(1, 5)),
    ],
)
def test_rates_snap_to_what_is_meant(stated: float | str | Fraction, meant: Fraction) -> None:
    assert snap_rate(stated) == meant


@pytest.mark.parametrize("nonsense", [0, -25, "fast", "1/0", float("nan"), float("inf")])
def test_a_rate_is_a_number_above_zero(nonsense: float | str) -> None:
    with pytest.raises(ValueError, match="rate"):
        snap_rate(nonsense)


def test_rates_for_people() -> None:
    rates = [Fraction(30), Fraction(30000, 1001), Fraction(15, 2)]
    assert [rate_text(rate) for rate in rates] == ["30", "29.97", "7.5"]


PERIOD, TICK = Fraction(1, 25), Fraction(1, 1000)


@pytest.mark.parametrize(
    ("stamps", "times"),
    [
        pytest.param(["0", "0.1", "0.5"], ["0", "0.1", "0.5"], id="in order: as stamped"),
        pytest.param(["0.2", "0.24"], ["0.2", "0.24"], id="a late first picture stays late"),
        pytest.param([None, None, None], ["0", "0.04", "0.08"], id="no stamps: by the rate"),
        pytest.param(["0", None, "0.08"], ["0", "0.04", "0.08"], id="one stamp missing"),
        pytest.param(["0", "0.04", "0.04", "0.08"], ["0", "0.04", "0.041", "0.08"], id="a stamp twice"),
        pytest.param(
            ["5", "5.04", "0", "0.04"], ["5", "5.04", "5.08", "5.12"], id="a new time line is joined on"
        ),
    ],
)
def test_timeline_runs_forward(stamps: list[str | None], times: list[str]) -> None:
    line = Timeline(PERIOD, TICK)
    placed = [line.place(None if stamp is None else Fraction(stamp)) for stamp in stamps]
    assert placed == [Fraction(time) for time in times]
