"""Derived seeds are stable, different and 32-bit."""

from components.core.platform.seeds import derive_seed


def test_names_and_seeds_separate_streams() -> None:
    seeds = {derive_seed(seed, *names) for seed in range(50) for names in (("a",), ("b",), ())}
    assert len(seeds) == 150
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_names_do_not_run_together() -> None:
    assert derive_seed(0, "ab", "c") != derive_seed(0, "a", "bc")


def test_seeds_are_the_same_on_every_machine() -> None:
    assert derive_seed(0, "ddpo_lora") == 2743064077
