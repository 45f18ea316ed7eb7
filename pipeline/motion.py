"""Where things will be next: a filter that remembers place and speed, on media time, and feet that stand."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Memory:
    """Place and velocity of N things, (N, ...) each, in any unit and that unit a second."""

    place: Doubles
    velocity: Doubles

    @staticmethod
    def at(place: Doubles) -> "Memory":
        """Of things that have just come, and of which no velocity is known."""
        return Memory(place, np.zeros_like(place))

    def ahead(self, step_s: Doubles) -> Doubles:
        """Where they are expected after `step_s` (N,)."""
        return self.place + self.velocity * _wide(step_s, self.place)

    def after(self, place: Doubles, step_s: Doubles, memory_s: float) -> "Memory":
        """With what has come: a critically damped fading-memory filter of the second order.

        Errors of the past count less by exp(-step / memory_s) a step, so at any frame rate alike. Source: Morrison,
        Introduction to Sequential Smoothing and Prediction, 1969; Brookner, Tracking and Kalman Filtering, 1.2.6.
        """
        step = np.maximum(_wide(step_s, place), 1e-6)
        fading = np.exp(-step / memory_s)
        error = place - self.ahead(step_s)
        return Memory(
            self.ahead(step_s) + (1 - fading * fading) * error,
            self.velocity + (1 - fading) ** 2 / step * error,
        )


def _wide(step_s: Doubles, like: Doubles) -> Doubles:
    return step_s.reshape(-1, *(1,) * (like.ndim - 1))
