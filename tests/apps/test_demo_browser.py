"""An artist in a real browser, with a real generator and the real renderer behind the page."""

from __future__ import annotations

import io
import json
import re
import signal
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.apps.accessibility import faults
from tests.apps.serving import Server
from tests.node.gltf import validate

pytestmark = pytest.mark.long

DESKTOP = {"viewport": {"width": 1280, "height": 1000}}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
SECONDS = 60_000
expect.set_options(timeout=SECONDS)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, generator_folder: Path) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("demo"), model=str(generator_folder))
    yield running
    running.kill()


@pytest.fixture(scope="module")
def slow_server(
    tmp_path_factory: pytest.TempPathFactory, generator_folder: Path
) -> Iterator[Server]:
    """Half a second of rendering for each material."""
    running = Server(tmp_path_factory.mktemp("slow"), model=str(generator_folder), size=192)
    yield running
    running.kill()


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    context = browser.new_context(**DESKTOP)
    yield open_page(context.new_page(), server)
    context.close()


def open_page(page: Page, server: Server) -> Page:
    page.set_default_timeout(SECONDS)
    page.goto(server.url("/"))
    expect(page.get_by_role("button", name="Generate", exact=True)).to_be_visible()
    return page


def generate(page: Page, prompt: str) -> None:
    page.get_by_test_id("textbox").fill(prompt)
    page.get_by_role("button", name="Generate", exact=True).click()
    expect(page.locator("#result article").first).to_be_visible()
    expect(page.locator("#status")).to_have_text("")


def until(condition: Callable[[], bool]) -> None:
    """Waits for as long as a slow machine may need; fails when the condition stays false."""
    deadline = time.monotonic() + SECONDS / 1000
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def generate_behind_others(page: Page, server: Server) -> None:
    """So that not all is made before the page is closed or cancels. No click of Playwright's, which
    waits, on a busy machine for seconds, until nothing moves."""
    for number in range(2):
        ask(server, {"prompt": "marble", "count": 8, "seed": number})
    page.get_by_role("button", name="Generate", exact=True).dispatch_event("click")


def shown(page: Page) -> Page:
    """Waits until the 3D preview shows something."""
    expect(page.locator("section.preview[data-light]")).to_be_visible()
    page.wait_for_function("document.querySelector('section.preview').dataset.material")
    until(lambda: bool(canvas(page).std() > 5))
    return page


def canvas(page: Page) -> np.ndarray[Any, Any]:
    png = page.locator("section.preview canvas").screenshot()
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(float)


def test_an_artist_generates_changes_the_light_and_takes_a_glb(page: Page, tmp_path: Path) -> None:
    generate(page, "old red brick wall")
    assert page.locator("#result article").count() == 2
    expect(page.locator("#result")).to_contain_text("realism")
    before = page.locator("#result .rendering").first.get_attribute("src")
    page.get_by_label("Light of the renderings").click()
    page.get_by_role("option").nth(3).click()
    source = page.locator("#result .rendering").first
    expect(source).not_to_have_attribute("src", str(before))
    shown(page)
    for name, kind in (("GLB plane", "plane"), ("GLB sphere", "sphere")):
        with page.expect_download() as download:
            page.get_by_role("link", name=name).click()
        file = tmp_path / f"{kind}.glb"
        download.value.save_as(file)
        assert download.value.suggested_filename == f"realmat-brick-{kind}.glb"
        report = validate(file)
        assert (report["issues"]["numErrors"], report["issues"]["numWarnings"]) == (0, 0)


def test_the_preview_turns_lights_and_displaces(page: Page) -> None:
    generate(page, "grey stone")
    shown(page)
    seen = [canvas(page)]

    def differs() -> None:
        until(lambda: bool(np.abs(canvas(page) - seen[-1]).mean() > 0.2))
        seen.append(canvas(page))

    preview = page.locator("section.preview")
    preview.locator("canvas").focus()
    page.keyboard.press("ArrowLeft")
    differs()
    preview.get_by_label("Shape").select_option("sphere")
    differs()
    preview.get_by_label("Displacement").fill("0.2")
    differs()
    preview.locator("[data-set=light]").select_option(index=5)
    differs()
    preview.get_by_label("Turn the light").fill("120")
    differs()
    preview.get_by_label("Shape").select_option("plane")
    differs()
    preview.get_by_label("Repeat 2×2").check()
    differs()


def test_the_preview_looks_like_the_renderer(page: Page) -> None:
    """From above, the browser's picture is that of the path tracer, but for shadows."""
    generate(page, "grey stone")
    shown(page)
    preview = page.locator("section.preview")
    preview.get_by_label("Displacement").fill("0.06")
    square = "canvas => { canvas.style.aspectRatio = '1'; canvas.style.width = '384px' }"
    preview.locator("canvas").evaluate(square)
    preview.locator("canvas").focus()
    page.keyboard.press("t")
    address = page.locator("#result .rendering").first.get_attribute("src")
    png = page.request.get(f"{page.url}{address}").body()
    rendered = coarse(Image.open(io.BytesIO(png)).convert("RGB"))

    def alike() -> bool:
        drawn = coarse(Image.fromarray(canvas(page).astype(np.uint8)))
        apart = np.abs(drawn.mean(axis=(0, 1)) - rendered.mean(axis=(0, 1))).max()
        return bool(apart < 16 and np.corrcoef(drawn.ravel(), rendered.ravel())[0, 1] > 0.8)

    until(alike)


def coarse(image: Image.Image) -> np.ndarray[Any, Any]:
    """The picture in 12x12 squares, without its border."""
    return np.asarray(image.resize((16, 16))).astype(float)[2:-2, 2:-2]


def test_more_like_this_seeds_comparison_and_history(page: Page) -> None:
    generate(page, "dark wood")
    page.get_by_role("button", name=re.compile("Use this seed")).first.click()
    expect(page.get_by_label("New seed each time")).not_to_be_checked()
    first = page.locator("#result article").first.get_attribute("data-material")
    page.get_by_role("button", name=re.compile("More like this")).first.click()
    expect(page.locator("#result")).to_contain_text("variation, seed")
    expect(page.locator("#history button")).to_have_count(4)
    page.get_by_label("Compare with the model before RL").check()
    page.get_by_role("button", name="Generate", exact=True).click()
    expect(page.locator("#result .paired article")).to_have_count(4)
    expect(page.locator("#result")).to_contain_text("before RL")
    page.reload()
    expect(page.locator("#history button")).to_have_count(8)
    page.locator(f"#history button[data-material='{first}']").click()
    shown(page)
    assert page.locator("section.preview").get_attribute("data-material") == first


def test_whoever_closes_the_page_leaves_the_queue(browser: Browser, slow_server: Server) -> None:
    context = browser.new_context(**DESKTOP)
    page = open_page(context.new_page(), slow_server)
    page.get_by_test_id("textbox").fill("pebbles of the closed page")
    page.get_by_label("Variations").first.fill("8")
    generate_behind_others(page, slow_server)
    expect(page.locator("#status")).to_contain_text(re.compile("queue|Denoising|Rendering"))
    context.close()
    until(lambda: not busy(slow_server))
    assert made(slow_server, "pebbles of the closed page") < 8


PRESS_WHEN_ENABLED = """() => {
    const stop = [...document.querySelectorAll("button")].find(one => one.innerText === "Cancel")
    new MutationObserver((_, seen) => {
        if (!stop.disabled) { seen.disconnect(); stop.click(); window.pressed = true }
    }).observe(stop, {attributes: true})
}"""
"""From within the page: a busy machine would have made all before the mouse is there."""


def test_cancel_stops_what_is_not_made_yet(browser: Browser, slow_server: Server) -> None:
    context = browser.new_context(**DESKTOP)
    page = open_page(context.new_page(), slow_server)
    page.get_by_test_id("textbox").fill("rock that is cancelled")
    page.get_by_label("Variations").first.fill("8")
    page.evaluate(PRESS_WHEN_ENABLED)
    generate_behind_others(page, slow_server)
    page.wait_for_function("window.pressed")
    expect(page.locator("#status")).to_have_text("Cancelled.")
    until(lambda: not busy(slow_server))
    assert made(slow_server, "rock that is cancelled") < 8
    generate(page, "grey stone")  # and the page goes on
    context.close()


def test_a_seed_used_again_makes_the_same_material(page: Page) -> None:
    generate(page, "dark wood")
    pick = "#result article .rendering"
    first = page.request.get(f"{page.url}{page.locator(pick).first.get_attribute('src')}").body()
    made = page.locator("#result article").first.get_attribute("data-material")
    page.get_by_role("button", name=re.compile("Use this seed")).first.click()
    expect(page.get_by_label("New seed each time")).not_to_be_checked()
    page.get_by_role("button", name="Generate", exact=True).click()
    expect(page.locator("#result article").first).not_to_have_attribute("data-material", str(made))
    expect(page.locator("#status")).to_have_text("")
    again = page.request.get(f"{page.url}{page.locator(pick).first.get_attribute('src')}").body()
    assert again == first


def test_html_in_a_prompt_is_text(page: Page) -> None:
    fired: list[str] = []
    page.on("dialog", lambda dialog: (fired.append(dialog.message), dialog.dismiss()))
    generate(page, 'brick <img src=x onerror=alert(1)> "><script>alert(2)</script>')
    shown(page)
    expect(page.locator("#result")).to_contain_text("<script>alert(2)</script>")
    assert page.locator("#result script, #result img[src=x]").count() == 0
    assert fired == []


def test_what_cannot_be_made_is_said(page: Page) -> None:
    page.get_by_test_id("textbox").fill("  ")
    page.get_by_role("button", name="Generate", exact=True).click()
    expect(page.get_by_text(re.compile("the prompt is empty"))).to_be_visible()


@pytest.mark.parametrize("screen", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_no_serious_fault_of_accessibility(
    browser: Browser, server: Server, screen: dict[str, Any]
) -> None:
    context = browser.new_context(**screen)
    page = open_page(context.new_page(), server)
    generate(page, "old red brick wall")
    shown(page)
    assert faults(page) == []
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= screen["viewport"]["width"]
    context.close()


def test_logs_are_json_without_people(server: Server, page: Page) -> None:
    generate(page, "a very private prompt")
    until(lambda: "/api/materials/{material}/{file}" in server.log.read_text())
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert {"request"} <= {line["event"] for line in lines}
    text = server.log.read_text()
    assert "private" not in text
    assert "127.0.0.1" not in text


def ask(server: Server, wanted: dict[str, Any], wait: int = 0) -> dict[str, Any]:
    """Asks for materials as a script does; the answer is what it gets."""
    request = urllib.request.Request(
        server.url(f"/api/materials?wait={wait}"), json.dumps(wanted).encode(),
        {"Content-Type": "application/json"},
    )  # fmt: skip
    with urllib.request.urlopen(request, timeout=120) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def made(server: Server, prompt: str) -> int:
    """How many materials of a prompt the server keeps."""
    kept = (server.folder / "materials").glob("*/material.json")
    return sum(json.loads(file.read_text())["prompt"] == prompt for file in kept)


def busy(server: Server) -> bool:
    with urllib.request.urlopen(server.url("/metrics"), timeout=30) as answer:
        return "realmat_running 0.0" not in answer.read().decode()


def test_sigterm_finishes_what_runs(server: Server, page: Page) -> None:
    """The last of this file: it ends the server, while a page is open."""
    answers: list[dict[str, Any]] = []

    def asks() -> None:
        answers.append(ask(server, {"prompt": "brick", "count": 3}, wait=60))

    asking = threading.Thread(target=asks)
    asking.start()
    until(lambda: busy(server))
    assert server.terminate() in (0, -signal.SIGTERM)
    asking.join(60)
    assert [len(answer["made"]) for answer in answers] == [3]
