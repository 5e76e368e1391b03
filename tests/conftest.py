"""Which tests share a process, and that none leaves its settings to the next."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

TOGETHER = {"test_stack": "test_smoke"}
"""Files that share a run of the smoke recipe."""
OURS = ("AWS_", "LABEL_STUDIO_", "MLFLOW_TRACKING_", "REALMAT_")


def _settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(OURS)}


@pytest.fixture(autouse=True, scope="module")
def settings_stay() -> Iterator[None]:
    """A file that leaves a service's address behind would send later tests to it."""
    before = _settings()
    yield
    assert _settings() == before


@pytest.hookimpl(tryfirst=True)  # xdist reads the marks in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keeps a file's tests together, for they share servers, browsers and models.

    The longest come first, so that no process is left with them at the end.
    """
    for item in items:
        stem = Path(item.fspath).stem
        folder = Path(item.fspath).parent.name
        group = TOGETHER.get(stem, stem) if folder == "pipelines" else stem
        item.add_marker(pytest.mark.xdist_group(f"{folder}/{group}"))
    items.sort(key=lambda item: Path(item.fspath).stem not in ("test_smoke", "test_stack"))
