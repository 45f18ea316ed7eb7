"""How the project's own torch operations are said in ONNX."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from onnxscript import opset18

import bodystream.models.nets.rcnn.pooling  # noqa: F401 # registers bodystream::roi_align

op: Any = opset18  # its own types do not fit together
INT64 = 7  # TensorProto's


def roi_align(features: Any, rois: Any, output: int, scale: float, sampling: int, aligned: bool) -> Any:
    """`pooling.roi_align`: RoiAlign takes the pictures' numbers apart from the boxes, half a cell by its mode."""
    one, end = (op.Constant(value_ints=[index]) for index in (1, 5))
    numbers = op.Cast(op.Gather(rois, op.Constant(value_int=0), axis=1), to=INT64)  # (R,)
    boxes = op.Slice(rois, one, end, one)  # (R, 4)
    return op.RoiAlign(
        features,
        boxes,
        numbers,
        coordinate_transformation_mode="half_pixel" if aligned else "output_half_pixel",
        mode="avg",
        output_height=output,
        output_width=output,
        sampling_ratio=sampling,
        spatial_scale=scale,
    )


TRANSLATIONS: Mapping[Any, Callable[..., Any]] = {torch.ops.bodystream.roi_align.default: roi_align}
