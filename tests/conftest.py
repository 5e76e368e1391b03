"""Which tests share a process, and that none leaves its settings to the next."""

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xdist.scheduler import LoadScopeScheduling

LONGEST = tuple(f"tests/pipelines/test_{name}.py" for name in ("smoke", "stack", "stack_parts"))
LABELING = ("tests/labeling/test_server.py", "tests/labeling/test_server_runs.py")
SMOKE = (*LONGEST, "tests/pipelines/test_ablation.py")
TOGETHER = {**dict.fromkeys(SMOKE, "smoke"), **dict.fromkeys(LABELING, "labeling")}
"""Files that share a run of the smoke recipe, or a Label Studio server."""
LISTED = 12
OURS = ("AWS_", "LABEL_STUDIO_", "MLFLOW_TRACKING_", "REALMAT_")


def _settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(OURS)}


@pytest.fixture(autouse=True, scope="module")
def settings_stay() -> Iterator[None]:
    """A file that leaves a service's address behind would send later tests to it."""
    before = _settings()
    yield
    assert _settings() == before


@pytest.fixture
def lights_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A catalogue's address of environments, of which "glow" alone arrives."""
    from components.core.rendering.variant import mitsuba

    folder = tmp_path / "catalogue"
    folder.mkdir()
    mitsuba().Bitmap(np.ones((32, 64, 3), np.float32)).write(str(folder / "glow.exr"))
    monkeypatch.setattr("components.core.catalogues.item.collect", lambda *_: folder)
    return "polyhaven://1"


class ByFile(LoadScopeScheduling):  # type: ignore[misc]
    """A file's tests stay in one process, for they share servers, browsers and models."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return TOGETHER.get(file, file)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--strict-aims", action="store_true", help="a benchmark that misses an aim fails"
    )


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files come first, so that no process is left with them at the end."""
    items.sort(key=lambda item: item.nodeid.partition("::")[0] not in LONGEST)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Where the time went: the files that took longest, set-up included."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for report in (one for some in terminalreporter.stats.values() for one in some):
        if isinstance(report, pytest.TestReport):
            seconds[report.nodeid.partition("::")[0]] += report.duration
    if not seconds:
        return
    terminalreporter.section(f"seconds by file, {sum(seconds.values()):.0f} of all processes")
    for file, taken in sorted(seconds.items(), key=lambda row: -row[1])[:LISTED]:
        terminalreporter.write_line(f"{taken:7.1f}  {file}")
