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
# What hangs on the end of a bone and turns as it does: the bone's start and end, and the landmark that hangs.
HANGING = [
    tuple(landmark(f"{side}_{name}") for name in (start, end, hanging))
    for side in ("left", "right")
    for start, end, hanging in (
        ("elbow", "wrist", "pinky"),
        ("elbow", "wrist", "index"),
        ("elbow", "wrist", "thumb"),
        ("foot_index", "ankle", "heel"),
    )
]
STARTS, ENDS, HANGS = (list(each) for each in zip(*HANGING, strict=True))


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
    turns = least_turn(raw[:, ENDS] - raw[:, STARTS], out[:, ENDS] - out[:, STARTS])  # (N, 8, 3, 3)
    offsets = raw[:, HANGS] - raw[:, ENDS]  # (N, 8, 3)
    out[:, HANGS] = out[:, ENDS] + (turns @ offsets[..., None])[..., 0]
    return out
