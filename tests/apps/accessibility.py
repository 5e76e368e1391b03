"""axe-core in a page: what people with other senses or devices would stumble over."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

from tests.node import module

GRAVE = ("serious", "critical")


def faults(page: Page, within: str = "body") -> list[str]:
    """Serious and critical findings below a selector, with where they are."""
    page.evaluate((module("axe-core") / "axe.min.js").read_text("utf-8"))
    found: dict[str, Any] = page.evaluate("within => axe.run(within)", within)
    return [
        f"{one['id']}: {one['help']}: {node['html'][:160]}"
        for one in found["violations"]
        if one["impact"] in GRAVE
        for node in one["nodes"]
    ]
