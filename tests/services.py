"""Services that tests talk to for real; without one, its tests are skipped, but not in CI."""

import os
import shutil
from collections.abc import Iterator
from typing import NoReturn

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright


def missing(reason: str) -> NoReturn:
    """Skips a test with its reason, and fails it where CI says that nothing may be missing."""
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Ends with its module: while it lives, no test of this thread may run an event loop."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        missing("Chromium is not installed: apt-get install chromium")
    with sync_playwright() as tool:
        chromium = _launch(tool, program)
        yield chromium
        chromium.close()


def _launch(tool: Playwright, program: str) -> Browser:
    # As root, as in a container, Chromium's sandbox does not start.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    # WebGL without a graphics card.
    arguments += ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    return tool.chromium.launch(executable_path=program, args=arguments)
