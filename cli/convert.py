"""`bodystream convert`: results into other formats."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bodystream.cli import options as o
from bodystream.cli.config import ConfigFile
from bodystream.errors import UsageError


def convert(
    results: Annotated[Path, typer.Argument(metavar="RESULTS.jsonl", help="Results that run wrote.")],
    output: o.Outputs = None,
    overwrite: o.Overwrite = False,
    surface: o.Surface = "parts",
    texture: o.TextureName = None,
    mesh: o.Mesh = False,
    quiet: o.Quiet = False,
    video: Annotated[
        Path | None,
        typer.Option(
            help="The video or folder that the results are of, if it has moved; only video outputs read it.",
            rich_help_panel=o.INPUT,
            show_default=False,
        ),
    ] = None,
    _config: ConfigFile = None,
) -> None:
    """Write results to other formats, without running any network again.

    Results of a run that was killed are converted as far as they go, which is told on stderr.

    Examples:

    bodystream convert dance.jsonl -o dance.csv -o dance.npz -o dance.iuv/

    bodystream convert walk.jsonl -o walk.bvh -o walk.glb --mesh

    bodystream convert dance.jsonl -o dance.overlay.mp4 --video footage/dance.mp4
    """
    if not output:
        raise UsageError("convert needs an output; add -o with a suffix, such as -o dance.csv")
    o.check_mesh(mesh, output)

    from bodystream.cli.drawing import chosen_layers
    from bodystream.pipeline.draw import Hud
    from bodystream.pipeline.record import read
    from bodystream.pipeline.replay import find_video, replay
    from bodystream.pipeline.sinks import open_sinks
    from bodystream.pipeline.source import open_source

    console = Console(stderr=True, quiet=quiet, soft_wrap=True, markup=False, highlight=False)
    recording = read(results)
    header = recording.header
    known = [path for path in (results, video, header.source.path) if path is not None]
    layers = chosen_layers(surface, texture)
    sinks = open_sinks(
        output, tell=console.print, overwrite=overwrite, inputs=known, layers=layers, hud=Hud(), mesh=mesh
    )
    if any(sink.needs_image for sink in sinks):
        source = open_source(str(video or find_video(recording)), start=header.source.start)
        try:
            header = replace(header, source=replace(header.source, path=source.info.path))
            count = replay(recording, sinks, header, source)
        finally:
            source.close()
    else:
        count = replay(recording, sinks, header, None)
    if recording.end is None:
        what = "its last line is cut off" if recording.cut else "it has no end line"
        console.print(
            f"{results}: {what}, the run was killed or still goes on; what is before it was converted"
        )
    console.print(f"{results}: {count} frames to {', '.join(output)}")
