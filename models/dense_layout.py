"""What the dense network is given: the channels of its input, one table for run time, training and the net.

A person is seen in a square grid of 128 × 128 px, upright in the crop's axes (see `pipeline.types.Dense`).
The input is float32 (N, 48, 64, 64). Maps of 128 px are unshuffled: channel 2·r + c of such a group holds the
pixels (2·i + r, 2·j + c), as `torch.pixel_unshuffle` has it and as `map.reshape(64, 2, 64, 2)` gives in
numpy. Maps of 64 px that come from the render are sampled, not averaged, at pixel (2·i, 2·j) of the 128:
averages across two limbs are places on neither.

Baseline means the posed body's render, filled: a pixel where nothing was rendered, inside the mask or outside
it, takes the values of the nearest pixel where something was. Where nothing at all was rendered (no
landmarks) the whole baseline is zero, part 0.
"""

from typing import Final

GRID = 128  # px, side of the mask, of the render and of the outputs
CELLS = 64  # side of the input's maps
PARTS = 24  # parts of the surface; part 0 is no part

# Of 128 px, unshuffled to four channels each.
MASK: Final = slice(0, 4)  # 0..1, probability that the pixel is the person's
PART: Final = slice(4, 8)  # baseline, 0..24, whole numbers; read through tables only, never as a quantity
U: Final = slice(8, 12)  # baseline, 0..1
V: Final = slice(12, 16)  # baseline, 0..1

# Of 64 px.
XYZ: Final = slice(16, 19)  # baseline: place on the rest body, m, axes of `models.body`
DEPTH: Final = slice(
    19, 20
)  # baseline: z less that of the middle of the hips, in grid halves, away is positive
RENDERED: Final = slice(20, 21)  # 1 where something was rendered, 0 where it was filled in
DISTANCE: Final = slice(21, 22)  # to the nearest rendered pixel, in grid halves (64 px of 128), at most 1
BONE: Final = slice(22, 35)  # nearness to each of BONES, 0..1, see `BONE_REACH`
BONE_DEPTH: Final = slice(
    35, 48
)  # BONE times the bone's z less that of the middle of the hips, in grid halves

CHANNELS = 48

# Nearness to a bone at a distance of d cells is (1 − (d / BONE_REACH)²)², and 0 from BONE_REACH on: within .1
# of a Gaussian of sigma 2, without its exponentials and without denormals, which are slow in ONNX Runtime. The
# depth is linear between the bone's ends. A bone one of whose ends was not seen leaves its maps zero.
BONE_REACH = 5.0  # cells of 64

# Each bone by the landmarks (of 33, see `models.keypoints`) whose means are its two ends.
BONES: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = (
    ("trunk", (23, 24), (11, 12)),
    ("left upper arm", (11,), (13,)),
    ("left forearm", (13,), (15,)),
    ("left hand", (15,), (17, 19)),
    ("left thigh", (23,), (25,)),
    ("left shank", (25,), (27,)),
    ("left foot", (29,), (31,)),
    ("right upper arm", (12,), (14,)),
    ("right forearm", (14,), (16,)),
    ("right hand", (16,), (18, 20)),
    ("right thigh", (24,), (26,)),
    ("right shank", (26,), (28,)),
    ("right foot", (30,), (32,)),
)

# The three sources of knowledge. In training one of them is now and then left out (all its channels zero), so
# that the net does not stand on one alone.
GROUPS: dict[str, tuple[slice, ...]] = {
    "mask": (MASK,),
    "render": (PART, U, V, XYZ, DEPTH, RENDERED, DISTANCE),
    "bones": (BONE, BONE_DEPTH),
}
