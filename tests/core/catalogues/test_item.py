"""A collection is whole or not there, needs no network then, and bears with single faults."""

import json
import threading
import time
from pathlib import Path

import pytest

from components.core.catalogues.item import Item, collect, set_aside
from components.core.errors import Unreachable, UserError


class Shop:
    """A catalogue of `count` items; those in `broken` cannot be had."""

    title = "Shop"

    def __init__(
        self, count: int, broken: frozenset[str] = frozenset(), far: frozenset[str] = frozenset()
    ) -> None:
        self.count, self.broken, self.far = count, broken, far
        self.listed = 0
        self.fetched: list[str] = []

    def items(self) -> list[Item]:
        self.listed += 1
        return [
            Item(f"item{n:03d}", f"Item {n}", "brick", "page", "CC0") for n in range(self.count)
        ]

    def fetch(self, item: Item, folder: Path) -> None:
        time.sleep(0.001)
        self.fetched.append(item.id)
        if item.id in self.broken:
            raise UserError(f"{item.id}: it is broken")
        if item.id in self.far:
            raise Unreachable(f"{item.id}: no connection")
        (folder / "albedo.png").write_bytes(item.id.encode())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def test_a_whole_collection_needs_no_network(tmp_path: Path) -> None:
    first = collect(Shop(9), tmp_path, 4, seed=2)
    again = Shop(0)  # a catalogue that has lost everything meanwhile
    assert collect(again, tmp_path, 4, seed=2) == first
    assert (again.listed, len(names(first))) == (0, 4)


def test_a_larger_collection_uses_what_is_there(tmp_path: Path) -> None:
    few = collect(Shop(40), tmp_path, 20, seed=1)
    shop = Shop(40)
    more = collect(shop, tmp_path, 30, seed=1)
    assert len(shop.fetched) == 10
    assert set(names(few)) < set(names(more))
    assert (len(names(few)), len(names(more))) == (20, 30)
    for name in names(more):
        assert (more / name / "albedo.png").read_bytes() == name.encode()
        assert json.loads((more / name / "material.json").read_text())["licence"] == "CC0"


def test_two_at_a_time_fetch_every_item_once(tmp_path: Path) -> None:
    shop = Shop(40)
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(collect(shop, tmp_path, 30, seed=0)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(shop.fetched) == 30
    assert [len(names(folder)) for folder in found] == [30] * 4


def test_an_item_that_cannot_be_had_is_set_aside(tmp_path: Path) -> None:
    folder = collect(Shop(20, frozenset({"item004"})), tmp_path, 20, seed=0)
    assert len(names(folder)) == 19
    assert set_aside(folder) == [("item004", "item004: it is broken")]


def test_more_than_a_few_such_items_stop_it(tmp_path: Path) -> None:
    shop = Shop(20, frozenset({"item004", "item009", "item011"}))
    with pytest.raises(UserError, match=r"2 of 20 items cannot be had.*item009: it is broken"):
        collect(shop, tmp_path, 20, seed=0)
    assert "item010" not in shop.fetched
    assert not list(tmp_path.glob("choice*"))


def test_a_catalogue_that_offers_too_few_is_refused_and_nothing_is_kept(tmp_path: Path) -> None:
    """With one item of 200, training would go on under one light, and at every later start."""
    shop = Shop(1)
    with pytest.raises(UserError, match=r"Shop: 1 of the 200 items.* at most 1$"):
        collect(shop, tmp_path, 200, seed=0)
    assert shop.fetched == []
    assert not list(tmp_path.glob("choice*"))
    assert len(names(collect(Shop(300), tmp_path, 200, seed=0))) == 200


def test_a_few_items_that_are_not_offered_are_told_at_every_use(tmp_path: Path) -> None:
    folder = collect(Shop(39, frozenset({"item004"})), tmp_path, 40, seed=0)
    again = collect(Shop(0), tmp_path, 40, seed=0)
    assert (again, len(names(again))) == (folder, 38)
    assert set_aside(again) == [
        ("item004", "item004: it is broken"),
        ("", "Shop: 39 of the 40 items asked for are offered"),
    ]


def test_what_is_merely_out_of_reach_is_never_set_aside(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="item004: no connection"):
        collect(Shop(40, far=frozenset({"item004"})), tmp_path, 40, seed=0)
    assert not list(tmp_path.glob("choice*"))
    again = Shop(40)
    folder = collect(again, tmp_path, 40, seed=0)
    assert (len(names(folder)), set_aside(folder)) == (40, [])
    assert "item003" not in again.fetched  # it was there
