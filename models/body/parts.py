"""The 24 parts of the body surface: names, numbers, and which is the other's mirror image.

The numbers are DensePose's (Güler, Neverova, Kokkinos: DensePose, CVPR 2018): 1 to 24, 0 is no part.
Left and right are the person's own.
"""

import numpy as np
from numpy.typing import NDArray

# PARTS[k] is part number k + 1.
PARTS: tuple[str, ...] = (
    "torso back",  # 1
    "torso front",
    "right hand",
    "left hand",
    "left foot",
    "right foot",
    "right upper leg back",  # 7
    "left upper leg back",
    "right upper leg front",
    "left upper leg front",
    "right lower leg back",  # 11
    "left lower leg back",
    "right lower leg front",
    "left lower leg front",
    "left upper arm inner",  # 15
    "right upper arm inner",
    "left upper arm outer",
    "right upper arm outer",
    "left lower arm inner",  # 19
    "right lower arm inner",
    "left lower arm outer",
    "right lower arm outer",
    "right head",  # 23
    "left head",
)


def _mirrored(name: str) -> str:
    side, _, rest = name.partition(" ")
    return {"left": f"right {rest}", "right": f"left {rest}"}.get(side, name)


# uint8 (25,): the part on the other side, by part number; 0 and the torso's two are their own.
MIRROR_PART: NDArray[np.uint8] = np.array([0, *(PARTS.index(_mirrored(n)) + 1 for n in PARTS)], np.uint8)
