"""Which tests run in the same process when several share the work."""

from pathlib import Path

import pytest

TOGETHER = {"test_stack": "test_smoke"}
"""Files that share a run of the smoke recipe."""


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
