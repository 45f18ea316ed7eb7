"""Media time: exact seconds, rates as fractions, and time stamps made to run forward."""

from fractions import Fraction

# Rates that a container or a driver rounds to a decimal (29.97, 23.976) lie 1/1001 below these whole ones.
NTSC = (24, 30, 48, 60, 120, 240)
# Half of the 1/1001 that separates 29.97 from 30, less a margin: what is nearer than this was meant.
SNAP = Fraction(4, 10_000)
# Further back than a second is a new time line (joined files, a restarted sender), not a shuffled frame.
JUMP_S = Fraction(1)


def exact(seconds: float | str | Fraction) -> Fraction:
    """Seconds as they were typed: 0.1 is 1/10, not the binary number nearest to it. Raises ValueError."""
    return seconds if isinstance(seconds, Fraction) else Fraction(str(seconds))


def from_ns(ns: int) -> Fraction:
    """Nanoseconds as exact seconds."""
    return Fraction(ns, 1_000_000_000)


def snap_rate(rate: float | str | Fraction) -> Fraction:
    """The rate that is meant: 29.97 is 30000/1001, 30.002 is 30; anything else stays what it is.

    Takes frames a second, also as "30000/1001". Raises ValueError where that is no number above zero.
    """
    try:
        stated = exact(rate)
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError(f"{rate!r} is not a rate") from error
    if stated <= 0:
        raise ValueError(f"a rate is above zero, not {rate}")
    meant = [Fraction(n * 1000, 1001) for n in NTSC] + [Fraction(round(stated) or 1)]
    nearest = min(meant, key=lambda candidate: abs(candidate - stated))
    return nearest if abs(nearest - stated) <= SNAP * nearest else stated.limit_denominator(1_000_000)


def rate_text(rate: Fraction) -> str:
    """A rate for people: "30", "29.97", "7.5"."""
    return f"{float(rate):.2f}".rstrip("0").rstrip(".")


class Timeline:
    """Turns the time stamps of decoded pictures into media time that always runs forward.

    A missing stamp is one `period` after the last; one that does not advance is one `tick` after it; one that
    falls back by more than a second begins a new time line, which is joined on.
    """

    def __init__(self, period: Fraction, tick: Fraction) -> None:
        self._period = period
        self._tick = tick
        self._last: Fraction | None = None
        self._shift = Fraction(0)

    def place(self, stamp: Fraction | None) -> Fraction:
        """Media time of the next picture, in seconds."""
        time = self._time(stamp)
        self._last = time
        return time

    def _time(self, stamp: Fraction | None) -> Fraction:
        if self._last is None:
            return stamp or Fraction(0)
        if stamp is None:
            return self._last + self._period
        time = stamp + self._shift
        if time > self._last:
            return time
        if self._last - time <= JUMP_S:
            return self._last + self._tick
        self._shift += self._last + self._period - time
        return self._last + self._period
