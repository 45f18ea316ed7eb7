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

    The measure is the mean absolute difference of two small grey pictures with their means taken out, so
    that a light switched on is no cut. A cut stands out from the recent motion of the clip.
    """

    LEAST = 20.0  # grey levels
    TIMES_USUAL = 4.0

    def __init__(self) -> None:
        self._last: NDArray[np.float32] | None = None
        self._usual = 0.0

    def is_cut(self, image: Image) -> bool:
        """Compare with the last image that was shown; sizes may differ."""
        step = max(1, min(image.shape[:2]) // 90)  # an even sample is enough, and a tenth of the cost
        grey = cv2.cvtColor(np.ascontiguousarray(image[::step, ::step]), cv2.COLOR_BGR2GRAY)
        small = cv2.resize(grey, (32, 18), interpolation=cv2.INTER_AREA).astype(np.float32)
        small -= small.mean()
        last, self._last = self._last, small
        if last is None:
            return False
        difference = float(np.abs(small - last).mean())
        is_cut = difference > max(self.LEAST, self.TIMES_USUAL * self._usual)
        self._usual = 0.0 if is_cut else 0.9 * self._usual + 0.1 * difference
        return is_cut
