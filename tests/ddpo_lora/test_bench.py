"""The benchmark of an epoch: what it says of its aims."""

import pytest

from tests.ddpo_lora.bench_epoch import verdicts


@pytest.mark.parametrize(
    ("floor", "public", "window", "met"),
    [
        (1.01, 1.09, 2.8, [True, False, False]),
        (1.15, 1.3, 3.0, [True, True, True]),
        (1.2, 1.4, 3.1, [False, True, True]),
    ],
)
def test_each_aim_is_judged_by_the_best_way_of_its_kind(
    floor: float, public: float, window: float, met: list[bool]
) -> None:
    """By the median of wall times, whatever the processor's say."""
    over_floor = {
        "window off, serial": [(floor, 9.0), (floor + 9.0, 9.0), (0.1, 9.0)],
        "window off, overlap": [(floor + 0.5, 0.1)],
        "window 2, serial": [(0.5, 0.5)],
    }
    over_public = {
        "window off, serial": [(public, 0.1)],
        "window off, overlap": [(public - 0.5, 9.0)],
        "window 2, serial": [(1.0, 9.0)],
        "window 2, stride 2, branches": [(window, 0.1)],
    }
    found = verdicts(over_floor, over_public)
    assert [one.met for one in found] == met
    assert [one.figure for one in found] == [floor, public, window]
    assert found[2].way == "window 2, stride 2, branches"
    assert [str(one).startswith("MISSED") for one in found] == [not one for one in met]
