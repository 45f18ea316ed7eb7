"""Lay out the repository's folders as the package `bodystream`, by links.

Type checkers do not follow setuptools' package-dir map, and neither does a plain PYTHONPATH:

    python tests/links.py        prints the folder to put on the path
"""

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def link_package(target: Path) -> Path:
    """Make `target`/bodystream out of links to the folders that pyproject.toml maps, and return `target`."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        folders = tomllib.load(file)["tool"]["setuptools"]["package-dir"]
    package = target / "bodystream"
    package.mkdir(parents=True, exist_ok=True)
    tops = {name.split(".")[1]: ROOT / path for name, path in folders.items() if name.count(".") == 1}
    wanted = tops | {
        path.name: path for path in (ROOT / folders["bodystream"]).iterdir() if path.name != "__pycache__"
    }
    for old in package.iterdir():
        if old.is_symlink() and old.name not in wanted:
            old.unlink()
    for name, path in wanted.items():
        if not (package / name).exists():
            (package / name).symlink_to(path)
    return target


if __name__ == "__main__":
    sys.stdout.write(f"{link_package(ROOT / 'build' / 'links')}\n")
