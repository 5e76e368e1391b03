"""report.html in a real browser: no errors, no network, everything reachable by keyboard."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.evaluation.conftest import PROMPT
from tests.evaluation.test_report import compose
from tests.services import browser as browser

RUNS = [{"name": "smoke", "run": "abc", "address": "https://mlflow.example.org/#/runs/abc"}]
ABLATION = {
    "recipe": "smoke",
    "settings": [],
    "variants": {
        f"{count} prompts": {
            "train_reward": [(0, 0.3), (4, 0.4)],
            "heldout_reward": [(0, 0.3), (4, 0.3 + count / 100)],
        }
        for count in (5, 30, 100, 150)
    },
}
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}


@pytest.fixture(params=SIZES)
def page(
    request: pytest.FixtureRequest, browser: Browser, tmp_path: Path, artifacts: dict[str, Path]
) -> Iterator[Page]:
    compose(tmp_path, artifacts, ABLATION, RUNS)
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


def test_every_picture_is_there_and_every_text_is_a_text(page: Page) -> None:
    assert page.locator(".plate").count() == 5  # figures 5, 8, 9, 11 and 10, the strips
    broken = "[...document.images].filter((image) => !image.naturalWidth).length"
    assert page.evaluate(broken) == 0
    assert page.locator("main script, main b b").count() == 0
    page.locator("summary", has_text="their authors").click()
    assert page.locator("td", has_text="<b>A. Painter</b>").is_visible()
    page.locator("summary", has_text="MLflow runs").click()
    link = page.locator("details a")
    assert link.get_attribute("href") == RUNS[0]["address"]


def test_the_pictures_after_the_papers_figures_open_large(page: Page) -> None:
    plates, zoom = page.locator(".plate"), page.locator("#zoom")
    for i in range(plates.count()):
        plates.nth(i).locator("img").last.focus()
        page.keyboard.press("Enter")
        assert zoom.locator("h3").text_content() == plates.nth(i).locator("h3").text_content()
        assert zoom.locator("img").count() == 1
        page.keyboard.press("Escape")


def test_the_charts_tell_their_numbers(page: Page) -> None:
    chart = page.locator("section.card", has_text="Reward of held-out prompts")
    chart.scroll_into_view_if_needed()
    chart.locator(".hover").last.hover()
    told = page.locator("#tip").text_content()
    assert told == (
        "epoch 4 · 5 prompts 0.3500 · 30 prompts 0.6000 · 100 prompts 1.3000 · 150 prompts 1.8000"
    )
