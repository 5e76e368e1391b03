"""A participant in a real browser: by keyboard, by touch, interrupted and resumed."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from apps.study.export import votes_of
from apps.study.place import Place
from tests.apps.accessibility import faults
from tests.apps.serving import Server
from tests.apps.studies import make_study

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
DESKTOP = {"viewport": {"width": 1280, "height": 800}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    place = Place(tmp_path_factory.mktemp("study"))
    database = place.database()
    make_study(database, place.media, 4, minimum_seconds=0.2)
    make_study(database, place.media, 4, ("a", "b", "c"), name="three", minimum_seconds=0.2)
    database.close()
    running = Server(place.folder)
    yield running
    running.kill()


def start(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.get_by_role("button", name="Start")).to_be_disabled()
    page.get_by_label(re.compile("agree to take part")).check()
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#progress-text")).to_have_text("Practice")


def answer(page: Page, *, key: str = "", tap: str = "") -> None:
    """Answer the comparison on the screen and wait for the next."""
    before = page.locator("#choices img").first.get_attribute("src")
    expect(page.locator("#similar")).to_be_enabled()
    if key:
        page.keyboard.press(key)
    else:
        page.locator(f"[data-place={tap}]").tap()
    page.wait_for_function(
        """before => document.querySelector('#trial').hidden
            || document.querySelector('#choices img').getAttribute('src') !== before""",
        arg=before,
    )


def votes(server: Server, study: str) -> Any:
    database = Place(server.folder).database()
    found = votes_of(database, study)
    database.close()
    return found


def test_by_keyboard_on_a_desktop(browser: Browser, server: Server) -> None:
    context = browser.new_context(**DESKTOP)
    page = context.new_page()
    problems: list[str] = []
    page.on(
        "console",
        lambda message: problems.append(message.text) if message.type == "error" else None,
    )
    page.on("pageerror", lambda error: problems.append(str(error)))
    start(page, server.url("/study/one"))
    keys = ["ArrowLeft", "ArrowRight", " ", "ArrowLeft", "ArrowRight", " ", "ArrowLeft"]
    for key in keys:
        answer(page, key=key)
    expect(page.get_by_role("heading", name="Thank you!")).to_be_visible()
    context.close()
    assert problems == []
    found = votes(server, "one")
    assert list(found["side"]) == ["right", "similar", "left", "right", "similar", "left"]
    assert (found["seconds"] >= 0.2).all()


def test_by_touch_on_a_phone_closed_in_the_middle_and_after_a_crash(
    browser: Browser, server: Server, tmp_path: Path
) -> None:
    context = browser.new_context(**PHONE)
    page = context.new_page()
    start(page, server.url("/study/three"))
    for place in ("left", "middle", "right"):
        answer(page, tap=place)
    for shown in [*page.locator("#choices img").all(), page.locator("#similar")]:
        box = shown.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= PHONE["viewport"]["height"]  # type: ignore[index]
        assert box["width"] > 120
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    position = page.locator("#progress-text").inner_text()
    state = context.storage_state()
    context.close()
    server.kill()
    server.start()
    again = browser.new_context(storage_state=state, **PHONE)
    page = again.new_page()
    page.goto(server.url("/study/three"))
    expect(page.locator("#progress-text")).to_have_text(position)
    while page.locator("#trial").is_visible():
        answer(page, tap="middle")
    expect(page.get_by_role("heading", name="Thank you!")).to_be_visible()
    again.close()
    found = votes(server, "three")
    assert list(found["side"])[:2] == ["middle", "right"]
    assert len(found) == 6


def test_the_owner_sees_results_and_others_do_not(browser: Browser, server: Server) -> None:
    page = browser.new_page()
    page.goto(server.url("/study/one/results"))
    page.get_by_label("Owner's token").fill("a guess")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("alert")).to_contain_text("missing or wrong")
    page.get_by_label("Owner's token").fill("the owner")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("heading", name="All votes")).to_be_visible()
    expect(page.locator("svg").first).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Votes as CSV").click()
    assert download.value.suggested_filename == "one.csv"
    page.close()


@pytest.mark.parametrize("screen", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_no_serious_fault_of_accessibility(
    browser: Browser, server: Server, screen: dict[str, Any]
) -> None:
    context = browser.new_context(**screen)
    page = context.new_page()
    page.goto(server.url("/study/one"))
    expect(page.get_by_role("button", name="Start")).to_be_visible()
    assert faults(page) == []
    start(page, server.url("/study/one"))
    expect(page.locator("#similar")).to_be_enabled()
    assert faults(page) == []
    page.goto(server.url("/study/one/results"))
    page.get_by_label("Owner's token").fill("the owner")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("heading", name="All votes")).to_be_visible()
    assert faults(page) == []
    context.close()


def test_it_works_behind_a_prefix(browser: Browser, server: Server) -> None:
    page = browser.new_page()

    def without_prefix(route: Any) -> None:
        route.continue_(url=route.request.url.replace("/tools/realmat", ""))

    page.route("**/tools/realmat/**", without_prefix)
    start(page, server.url("/tools/realmat/study/one"))
    answer(page, key="ArrowLeft")
    page.close()
