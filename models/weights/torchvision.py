"""Names of torchvision's published files, brought to those of its current networks.

The files were trained between 2017 and 2021 and keep the names of their day; torchvision itself renames them
when it loads them. Files saved since then are left as they are.
"""

import re


def current_name(name: str) -> str:
    """The name in torchvision's current layout, which the networks here share."""
    if mask := _MASK_CONV.match(name):
        return f"roi_heads.mask_head.{int(mask[1]) - 1}.0.{mask[2]}"
    for pattern, target in _RENAMED:
        renamed, found = pattern.subn(target, name)
        if found:
            return renamed
    return name


_MASK_CONV = re.compile(r"^roi_heads\.mask_head\.mask_fcn(\d+)\.(weight|bias)$")
# Before 0.13 the pyramid, the RPN's head and the mask head had bare convolutions where there are blocks now.
_RENAMED = tuple(
    (re.compile(pattern), target)
    for pattern, target in (
        (r"^(backbone\.fpn\.(?:inner|layer)_blocks\.\d+)\.(weight|bias)$", r"\1.0.\2"),
        (r"^(rpn\.head\.conv)\.(weight|bias)$", r"\1.0.0.\2"),
        # DenseNet's layers, before names could hold no dots: norm.1, conv.2
        (r"^(.*\.denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2"),
    )
)
