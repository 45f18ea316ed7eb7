"""What the commands share of rich: tables on stdout, progress bars on stderr."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

PIPED_COLUMNS = 200  # where stdout is no terminal, rows are for other programs: wide enough not to be folded


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on stdout; a head that ends in a blank belongs to a column of numbers."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPED_COLUMNS)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(head.strip(), justify="right" if head.endswith(" ") else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Give what `models.store.Progress` describes: a function (name, done, all) that shows a bar a name.

    `done` counts bytes of a download, of which `all` may not be known and 0, or steps of something short
    ("preparing picodet-s").
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[amount]}"),
    )
    progress = Progress(*columns, console=Console(stderr=True))
    tasks: dict[str, TaskID] = {}

    def show(name: str, done: int, total: int) -> None:
        progress.start()
        if name not in tasks:
            tasks[name] = progress.add_task(name, total=total or None, amount="")  # None: not known
        progress.update(tasks[name], completed=done, amount=_amount(done, total))

    try:
        yield show
    finally:
        if tasks:  # even a Progress that was never started would end in a blank line
            progress.stop()


def say(line: str) -> None:
    """Say a line on stderr: what `models.store.Tell` describes."""
    from rich.console import Console

    Console(stderr=True).print(line, soft_wrap=True, markup=False, highlight=False)


def _amount(done: int, total: int) -> str:
    if not total:
        return f"{done / 1e6:.1f} MB"
    if total < 1000:  # no download is that small
        return f"{done} of {total}"
    return f"{done / 1e6:.1f} of {total / 1e6:.1f} MB"
