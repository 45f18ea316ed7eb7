"""The stages in order, each timed, with the last frame's people handed on to the next frame."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from bodystream.errors import StageFailed, UsageError
from bodystream.pipeline.types import Frame, Image, ModelInfo, Person, Span, Stage


class Chain:
    """Runs the stages on frame after frame.

    Raises UsageError when built of stages of which one needs what none before it gives, and StageFailed
    where a stage raises in mid-run.
    """

    def __init__(self, stages: Sequence[Stage], clock: Callable[[], int]) -> None:
        given: frozenset[str] = frozenset()
        for stage in stages:
            if missing := stage.needs - given:
                raise UsageError(
                    f"stage {stage.name} needs {', '.join(sorted(missing))}, which no stage before it gives; "
                    f"the chain is {' > '.join(s.name for s in stages)}"
                )
            given |= stage.gives
        self.stages = tuple(stages)
        self._clock = clock
        self._people: Sequence[Person] = ()
        self._scene = SceneCuts()

    @property
    def models(self) -> tuple[ModelInfo, ...]:
        """The networks that run, in the order of their stages."""
        return tuple(model for stage in self.stages for model in stage.models)

    def __call__(self, frame: Frame) -> tuple[tuple[Person, ...], tuple[Span, ...], tuple[str, ...]]:
        """Return the people of the frame, a span a stage, and events."""
        events: tuple[str, ...] = ()
        if self._scene.is_cut(frame.image):
            events = ("scene cut",)
            self._people = ()
            for stage in self.stages:
                stage.reset()
        people = self._people
        spans = []
        for stage in self.stages:
            start_ns = self._clock()
            try:
                people = stage(frame, people)
            except Exception as exc:
                raise StageFailed(
                    f"stage {stage.name} failed at frame {frame.index} ({type(exc).__name__}: {exc}); "
                    "what was written before it is kept"
                ) from exc
            spans.append(Span(stage.name, frame.index, start_ns, 0, self._clock() - start_ns))
        self._people = people
        return tuple(people), tuple(spans), events


class SceneCuts:
    """Tells when a frame has nothing to do with the one before it.

    The measure is one minus the correlation of two small grey pictures: 0 alike, 1 unrelated; a sun that
    comes out or a light switched on changes it little. A cut must also stand out from the clip's recent motion.
    """

    # Measured on the zoo's eleven clips: neighbouring frames up to .065, every fifth frame up to .094;
    # joins of two clips from .172 (two cameras on one place) to over .5 (two places).
    LEAST = 0.14
    TIMES_USUAL = 4.0

    def __init__(self) -> None:
        self._last: NDArray[np.float32] | None = None
        self._usual = 0.0

    def is_cut(self, image: Image) -> bool:
        """Compare with the last image that was shown; sizes may differ."""
        last, self._last = self._last, _small(image)
        if last is None:
            return False
        change = 1 - float((self._last * last).sum())
        is_cut = change > max(self.LEAST, self.TIMES_USUAL * self._usual)
        self._usual = 0.0 if is_cut else 0.9 * self._usual + 0.1 * change
        return is_cut


def _small(image: Image) -> NDArray[np.float32]:
    """Shrink to grey (18, 32), mean 0, squares that sum to 1; a picture of one colour gives a constant."""
    step = max(1, min(image.shape[:2]) // 90)  # an even sample is enough, and a tenth of the cost
    grey = cv2.cvtColor(np.ascontiguousarray(image[::step, ::step]), cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, (32, 18), interpolation=cv2.INTER_AREA).astype(np.float32)
    small -= small.mean()
    length = float(np.linalg.norm(small))
    # Under one grey level of contrast there is nothing to correlate: flat pictures are like one another.
    return small / length if length > small.size**0.5 else np.full_like(small, small.size**-0.5)
