"""`bodystream eval`: accuracy against references."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, TaskID

from bodystream.cli import options as o
from bodystream.cli.config import ConfigFile
from bodystream.cli.eval_dense import dense
from bodystream.cli.eval_multiview import dense_multiview
from bodystream.cli.eval_pose3d import pose3d
from bodystream.cli.eval_pose3d_multiview import pose3d_multiview
from bodystream.cli.options import SIZES, chosen

app = typer.Typer(
    no_args_is_help=True,
    help="Score networks against annotated data.\n\nExamples:\n\n"
    "bodystream eval coco annotations.json images/\n\nbodystream eval dense-multiview --help",
)
COLUMNS = (
    "net",
    "pictures",
    "persons",
    "found",
    "box AP",
    "AP50",
    "mask AP",
    "mask IoU",
    "keypoint AP",
    "OKS",
)
LOW_SCORE = 0.01  # average precision wants the weak detections too


@app.command()
def coco(
    annotations: Annotated[
        Path, typer.Argument(metavar="ANNOTATIONS", help="A COCO JSON file.", show_default=False)
    ],
    images: Annotated[
        Path, typer.Argument(metavar="IMAGES", help="The folder of its pictures.", show_default=False)
    ],
    detect: o.DetectNet = "picodet-s",
    segment: o.SegmentNets = None,
    device: o.Device = "auto",
    threads: o.Threads = None,
    offline: o.Offline = False,
    json: o.Json = False,
    _config: ConfigFile = None,
) -> None:
    """Score boxes, masks and landmarks of persons against COCO annotations.

    Box AP is the detector's alone; masks and landmarks are found from its boxes, overlaps shared out. Means
    are over all annotated persons, one not found counting 0.

    Examples:

    bodystream eval coco annotations.json images/

    bodystream eval coco annotations.json images/ --segment lite --segment full --segment heavy --json
    """
    import orjson
    from rich.console import Console
    from rich.table import Table

    from bodystream.cli.prepare import prepared
    from bodystream.evaluation.coco import evaluate
    from bodystream.models.detector import Detector
    from bodystream.models.pose import PoseNet
    from bodystream.models.runtime import open_session
    from bodystream.pipeline.stages.segment import Segment
    from bodystream.pipeline.stages.track import Track

    sizes = chosen("--segment", segment, SIZES, ["full"])
    console = Console(stderr=True)
    nets = [f"blazepose-{size}" for size in sizes]
    paths = prepared([detect, *nets], offline=offline)
    detector = Detector(open_session(paths[0], device=device, threads=threads), min_score=LOW_SCORE)
    rows = {}
    for net, path in zip(nets, paths[1:], strict=True):
        looks = Segment(PoseNet(open_session(path, device=device, threads=threads)))
        with Progress(console=console, transient=True) as progress:
            task = progress.add_task(net)
            rows[net] = evaluate(
                annotations,
                images,
                detector,
                # track leaves one crop to a body, where the detector gives a person two boxes
                [looks, Track(smooth=None)],
                partial(_show, progress, task),
            )
    if json:
        typer.echo(orjson.dumps({net: asdict(row) for net, row in rows.items()}, option=orjson.OPT_INDENT_2))
        return
    table = Table(title=f"{detect} on {annotations.name}: persons only")
    for name in COLUMNS:
        table.add_column(name, justify="left" if name == "net" else "right")
    for net, row in rows.items():
        shares = (row.box_ap, row.box_ap50, row.mask_ap, row.mask_iou, row.keypoint_ap, row.oks)
        counts = (row.pictures, row.persons, row.found)
        table.add_row(net, *(str(count) for count in counts), *(f"{share:.3f}" for share in shares))
    Console().print(table)


def _show(progress: Progress, task: TaskID, done: int, total: int) -> None:
    progress.update(task, completed=done, total=total)


app.command()(dense)
app.command()(dense_multiview)
app.command()(pose3d)
app.command()(pose3d_multiview)
