"""The arrows of docs/architecture.md, held by walking the syntax trees."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

# Who may import whom, by folder; the longest folder that holds a file speaks for it. `api` is what
# `import bodystream` gives: its errors are everybody's.
MODELS = {"models", "models/body", "models/dense_layout", "models/lift_layout"}
MAY_IMPORT = {
    "api": {"api", "pipeline", *MODELS},
    "api/__main__.py": {"cli"},
    "cli": {"api", "cli", "evaluation", "export", "pipeline", "training", *MODELS},
    "evaluation": {"api", "evaluation", "pipeline", *MODELS},
    "export": {"api", "export", "models/nets", "models/weights", *MODELS},
    "pipeline": {"api", "pipeline", *MODELS},
    "models": {"api", *MODELS},
    "models/body": {"api", *MODELS},
    "models/dense_layout": set(),  # constants that networks and the run share, as are the next
    "models/lift_layout": set(),
    "models/weights": {"api", "models", "models/weights", "models/nets"},
    "models/nets": {"models/nets", "models/dense_layout", "models/lift_layout"},
    # Makes what the package ships (the body, weights); nothing at run time imports it.
    "training": {
        "api",
        "evaluation",
        "export",
        "models/nets",
        "models/weights",
        "pipeline",
        "training",
        *MODELS,
    },
}
ONLY_IN = {
    "torch": {"models/nets", "models/weights", "export", "training"},
    "onnxruntime": {"models/runtime.py"},
    "onnxscript": {"export"},
    "typer": {"cli"},
    "rich": {"cli"},
}


def test_arrows_point_one_way():
    assert sorted(violations(ROOT)) == []


@pytest.mark.parametrize(
    ("file", "line", "wrong"),
    [
        ("models/detector.py", "from bodystream.pipeline.types import Frame", "pipeline"),
        ("models/detector.py", "import bodystream.export.to_onnx", "export"),
        ("models/detector.py", "from bodystream.models.nets import picodet", "models/nets"),
        ("models/detector.py", "from bodystream import models, cli", "cli"),
        ("pipeline/stages/detect.py", "def f():\n    import torch.nn", "torch"),
        ("pipeline/runner.py", "from bodystream.cli.exits import ExitCode", "cli"),
        ("models/nets/blazepose.py", "from bodystream.errors import ModelError", "api"),
        ("export/check.py", "import onnxruntime as ort", "onnxruntime"),
        ("pipeline/latency.py", "from rich.table import Table", "rich"),
        ("cli/run.py", "from .main import run", "relative"),
    ],
)
def test_checker_sees_a_planted_violation(tmp_path, file, line, wrong):
    plant(tmp_path, file, line)
    (found,) = violations(tmp_path)
    assert found.startswith(f"{file}:")
    assert wrong in found


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("models/nets/blazepose.py", "import torch\nfrom bodystream.models.nets.layers import Block"),
        ("models/runtime.py", "import onnxruntime\nfrom bodystream.errors import DeviceUnavailable"),
        ("export/to_onnx.py", "from torch import onnx\nfrom bodystream.models.weights import tflite"),
        (
            "cli/run.py",
            "import typer\nfrom bodystream.pipeline import runner\nfrom bodystream import __version__",
        ),
        ("api/__main__.py", "from bodystream.cli.main import main"),
    ],
)
def test_checker_lets_the_arrows_pass(tmp_path, file, line):
    plant(tmp_path, file, line)
    assert list(violations(tmp_path)) == []


def plant(root: Path, file: str, text: str) -> None:
    (root / file).parent.mkdir(parents=True)
    (root / file).write_text(text)


def violations(root: Path) -> Iterator[str]:
    """One line for each import under `root` that goes against the tables above."""
    for top in sorted({folder.split("/")[0] for folder in MAY_IMPORT}):
        for file in sorted((root / top).rglob("*.py")):
            here = file.relative_to(root).as_posix()
            for number, module in imports(ast.parse(file.read_text(encoding="utf-8"))):
                if fault := fault_of(here, module):
                    yield f"{here}:{number}: {fault}"


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything imported, wherever the import stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def fault_of(here: str, module: str) -> str | None:
    first, *rest = module.split(".")
    if not first:
        return f"relative import of {module}"
    if first == "bodystream":
        home, target = folder_of(here), folder_of("/".join(rest))
        return f"{home} imports {target} ({module})" if target not in MAY_IMPORT[home] else None
    homes = ONLY_IN.get(first)
    if homes is None or any(here == home or here.startswith(f"{home}/") for home in homes):
        return None
    return f"imports {first}, which only {', '.join(sorted(homes))} may"


def folder_of(place: str) -> str:
    """The longest folder of MAY_IMPORT that holds `place`; what lies in none is `bodystream` itself: api."""
    holds = [folder for folder in MAY_IMPORT if place == folder or place.startswith(f"{folder}/")]
    return max(holds, key=len, default="api")
