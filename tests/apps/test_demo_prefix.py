"""The demo below a prefix that a reverse proxy strips: every request of the page keeps it."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.apps.proxy import behind
from tests.apps.serving import Server
from tests.apps.test_demo_browser import DESKTOP, SECONDS, generate, shown

pytestmark = pytest.mark.long

PREFIX = "/tools/realmat"


def test_the_demo_works_behind_a_prefix(
    browser: Browser, generator_folder: Path, tmp_path: Path
) -> None:
    server = Server(tmp_path, model=str(generator_folder), prefix=PREFIX)
    context = browser.new_context(**DESKTOP)
    page, lost = context.new_page(), list[str]()
    page.set_default_timeout(SECONDS)
    page.on("response", lambda r: lost.append(f"{r.status} {r.url}") if r.status >= 400 else None)
    try:
        with behind(PREFIX, server.port) as address:
            page.goto(address)
            expect(page.get_by_role("button", name="Generate", exact=True)).to_be_visible()
            generate(page, "old red brick wall")
            shown(page)
            with page.expect_download() as download:
                page.get_by_role("link", name="GLB plane").click()
            assert Path(download.value.path()).read_bytes()[:4] == b"glTF"
            context.close()
    finally:
        server.kill()
    assert [line for line in lost if PREFIX not in line.split()[1]] == []
    assert lost == []
