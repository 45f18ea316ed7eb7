"""What the drawing flags of `run` and `convert` mean."""

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # brings numpy, and --help must answer at once
    from bodystream.pipeline.draw import Layers

SHIPPED = ("jersey", "charts")


def chosen_layers(surface: Literal["parts", "isolines", "off"], texture: str | None) -> "Layers":
    """Return the layers that --surface and --texture ask for; a texture wins. Raises what reading it raises.

    Lines and textures are drawn to be looked at: the skeleton, which covers thin limbs, is left out.
    """
    from bodystream.pipeline.draw import Layers
    from bodystream.pipeline.draw_surface import read_texture

    if texture is not None:
        shipped = str(resources.files("bodystream.models.body") / f"{texture}.png")
        path = Path(shipped if texture in SHIPPED else texture)
        return Layers(skin=read_texture(path), skeleton=False)
    if surface == "off":
        return Layers(surface=False)
    return Layers(skin=surface, skeleton=surface == "parts")
