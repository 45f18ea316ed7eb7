"""lift-s round a session: landmarks of people in; the landmark net's metric landmarks out, mended."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bodystream.models.body.pose import least_turn
from bodystream.models.body.skeleton import landmark
from bodystream.models.lift_input import seen, turned
from bodystream.models.lift_layout import LANDMARKS, SIZE_M

Floats = NDArray[np.float32]

# float32 (N, 93) in; joints float32 (N, 15, 3) out, see `export.wrap_lift`
Session = Callable[[NDArray[np.float32]], Sequence[NDArray[Any]]]

JOINTS = list(LANDMARKS)
NOSE, FACE = landmark("nose"), slice(1, 11)
# What hangs on the end of a bone and turns as it does: start and end of the bone, and what hangs.
HANGING = tuple(
    (landmark(f"{side}_{start}"), landmark(f"{side}_{end}"), [landmark(f"{side}_{name}") for name in names])
    for side in ("left", "right")
    for start, end, names in (
        ("elbow", "wrist", ("pinky", "index", "thumb")),
        ("foot_index", "ankle", ("heel",)),
    )
)


class LiftNet:
    """Mends the world landmarks of all people in one batch."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __call__(self, rays: Floats, sure: Floats, world: Floats) -> Floats:
        """Return metric landmarks float32 (N, 33, 3): m, from between the hips, in the camera's axes.

        `rays` (N, 33, 2) are x / z and y / z of the landmarks in these axes, without distortion; `sure` (N, 33)
        the confidences, 0..1; `world` (N, 33, 3) the landmark net's own metric landmarks, m. Everybody is given
        the size of the mean body: how large a person is cannot be seen.
        """
        if not len(rays):
            return np.empty((0, 33, 3), np.float32)
        view = seen(rays[:, JOINTS], sure[:, JOINTS], world[:, JOINTS])
        (joints,) = self._session(view.inputs)
        return whole(turned(world, view.uprights), np.float32(SIZE_M) * joints) @ view.turns


def whole(raw: Floats, joints: Floats) -> Floats:
    """All landmarks (N, 33, 3): the joints (N, 15, 3), and what hangs on them as in the raw ones (N, 33, 3)."""
    out = raw.copy()
    out[:, JOINTS] = joints
    out[:, FACE] += (out[:, NOSE] - raw[:, NOSE])[:, None]
    for start, end, hanging in HANGING:
        turn = least_turn(raw[:, end] - raw[:, start], out[:, end] - out[:, start])  # (N, 3, 3)
        out[:, hanging] = out[:, end, None] + (raw[:, hanging] - raw[:, end, None]) @ turn.swapaxes(1, 2)
    return out
