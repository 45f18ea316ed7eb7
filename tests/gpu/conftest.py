from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--onnx", type=Path, metavar="FOLDER", help="ready ONNX files, which `export` made")
    parser.addoption(
        "--on", default="cuda", metavar="DEVICE", help="cuda, or cpu to try the tests themselves"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "onnx_file" in metafunc.fixturenames:
        # Where other tests are asked for too, pytest reads this file too late for its options.
        folder = metafunc.config.getoption("--onnx", default=None)
        files = sorted(folder.glob("*.onnx")) if folder else []
        metafunc.parametrize("onnx_file", files, ids=lambda file: file.stem)


@pytest.fixture
def device(request: pytest.FixtureRequest) -> str:
    return str(request.config.getoption("--on"))
