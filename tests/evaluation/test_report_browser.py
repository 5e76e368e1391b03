"""report.html in a real browser: no errors, no network, everything reachable by keyboard."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.evaluation.conftest import PROMPT
from tests.evaluation.test_report import compose
from tests.services import browser as browser

SIZES = {"desktop": (1280, 900), "phone": (390, 844)}


@pytest.fixture(params=SIZES)
def page(
    request: pytest.FixtureRequest, browser: Browser, tmp_path: Path, artifacts: dict[str, Path]
) -> Iterator[Page]:
    compose(tmp_path, artifacts)
    width, height = SIZES[request.param]
    context = browser.new_context(viewport={"width": width, "height": height}, offline=True)
    found = context.new_page()
    faults: list[str] = []
    found.on("console", lambda message: faults.append(message.text))
    found.on("pageerror", lambda error: faults.append(str(error)))
    found.on("requestfailed", lambda asked: faults.append(asked.url[:80]))
    found.goto((tmp_path / "report" / "report.html").as_uri())
    yield found
    context.close()
    assert faults == []


def test_nothing_is_wider_than_the_screen(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_slider_uncovers_the_other_picture(page: Page) -> None:
    slider = page.locator(".compare input").first
    slider.focus()
    shown = "getComputedStyle(document.querySelector('.compare img.before')).clipPath"
    middle = page.evaluate(shown)
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    assert page.evaluate(shown) != middle
    assert slider.input_value() == "60"


def test_pictures_open_large_and_close_by_keyboard(page: Page) -> None:
    page.locator("button.zoom").first.focus()
    page.keyboard.press("Enter")
    zoom = page.locator("#zoom")
    assert zoom.is_visible()
    assert zoom.locator("h3").text_content() == PROMPT  # as text: no script has run
    assert zoom.locator("figcaption").all_text_contents() == ["before", "after"]
    page.keyboard.press("Escape")
    assert not zoom.is_visible()
    page.locator(".pair details").first.evaluate("details => { details.open = true; }")
    page.locator(".maps img").first.focus()
    page.keyboard.press("Enter")
    assert zoom.locator("figcaption").all_text_contents() == ["albedo, before"]
