"""The lowest prompts of every category, in nearly equal numbers; held-out prompts apart."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.core.diffusion.small import SmallConfig, build_small
from components.core.materials.material import CATEGORIES
from components.core.materials.prompts import is_heldout
from components.core.platform.artifacts import open_artifact
from components.core.platform.tracking import NullTracker
from components.prompt_selection.config import Config
from components.prompt_selection.selection import (
    Candidate,
    draw_pool,
    lowest_per_category,
    shares,
)
from components.prompt_selection.stage import ranking_table, write

FloatArray = npt.NDArray[np.floating[Any]]


def candidates(**scores: list[float]) -> list[Candidate]:
    return [
        Candidate(f"{category} {score}", category, score)
        for category, values in scores.items()
        for score in values
    ]


def test_the_lowest_of_each_category_are_kept() -> None:
    chosen = lowest_per_category(candidates(wood=[0.9, 0.8, 0.7], metal=[0.1, 0.2, 0.3]), 4)
    assert sorted(c.mean_score for c in chosen) == [0.1, 0.2, 0.7, 0.8]


def test_what_is_over_goes_to_the_lowest_scores() -> None:
    chosen = lowest_per_category(candidates(wood=[0.9, 0.8], metal=[0.5, 0.2], stone=[0.7, 0.6]), 4)
    assert Counter(c.category for c in chosen) == {"metal": 2, "wood": 1, "stone": 1}


def test_the_papers_hundred_is_six_or_seven_each() -> None:
    rng = np.random.default_rng(0)
    tried = [Candidate(f"{c} {i}", c, rng.random()) for c in CATEGORIES for i in range(62)]
    counts = Counter(c.category for c in lowest_per_category(tried, 100))
    assert set(counts.values()) == {6, 7}
    assert sum(counts.values()) == 100


def test_a_short_category_leaves_its_share_to_others() -> None:
    chosen = lowest_per_category(candidates(wood=[0.1], metal=[0.2, 0.3, 0.4]), 4)
    assert len(chosen) == 4


def test_equal_scores_are_told_apart_by_the_prompt_whatever_order_they_come_in() -> None:
    tried = [Candidate(f"{c} {i}", c, 0.5) for c in CATEGORIES for i in range(8)]
    expected = lowest_per_category(tried, 100)
    # The 96 first of each category's, and of the seventh ones those of the four first prompts.
    sevenths = sorted(f"{c} 6" for c in CATEGORIES)[:4]
    assert {c.prompt for c in expected} == {f"{c} {i}" for c in CATEGORIES for i in range(6)} | set(
        sevenths
    )
    rng = np.random.default_rng(0)
    for _ in range(3):
        assert lowest_per_category([tried[i] for i in rng.permutation(len(tried))], 100) == expected


def test_the_papers_thousand_prompts_are_there() -> None:
    drawn = draw_pool(1000, np.random.default_rng(0), heldout=False)
    assert len(set(drawn)) == len(drawn) == 1000
    assert set(Counter(category for _, category in drawn).values()) == {62, 63}


def test_shares_add_up() -> None:
    assert sum(shares(100, CATEGORIES).values()) == 100
    assert set(shares(100, CATEGORIES).values()) == {6, 7}


def test_pools_are_distinct_and_disjoint() -> None:
    rng = np.random.default_rng(0)
    train, heldout = draw_pool(64, rng, heldout=False), draw_pool(32, rng, heldout=True)
    assert Counter(category for _, category in train) == dict.fromkeys(CATEGORIES, 4)
    assert len(set(train)) == 64
    assert not any(is_heldout(prompt) for prompt, _ in train)
    assert all(is_heldout(prompt) for prompt, _ in heldout)


def test_a_prompts_score_is_the_mean_over_its_own_samples(tmp_path: Path) -> None:
    """The reward numbers the samples as they come: 0, 1, 2, ... two for each prompt."""
    config = Config(
        candidates=32,
        samples_per_prompt=2,
        train_prompts=16,
        heldout_prompts=16,
        batch_size=8,
        steps=2,
        guidance=1.0,
        device="cpu",
    )
    seen = 0

    def numbering(
        grids_nhwc: FloatArray,
        rng: np.random.Generator,
        lights_per_sample: int = 1,
        sharing: int = 1,
    ) -> Mapping[str, FloatArray]:
        nonlocal seen
        seen += len(grids_nhwc)
        return {"reward": np.arange(seen - len(grids_nhwc), seen, dtype=np.float64)}

    model = build_small(["brick", "wood"], SmallConfig.micro())
    for _ in range(2):  # the second time every batch is read back and nothing is scored
        write(
            config,
            model,
            numbering,
            output=tmp_path / "prompts",
            work=tmp_path / "work",
            tracker=NullTracker(),
        )
    assert seen == 64
    folder = open_artifact(tmp_path / "prompts", "prompts")
    rows = [json.loads(line) for line in (folder / "prompts.jsonl").read_text().splitlines()]
    train = [row for row in rows if row["split"] == "train"]
    heldout = [row for row in rows if row["split"] == "heldout"]
    # Of each category's two prompts the first one has the lower numbers: 4k + 0.5.
    assert {row["category"]: row["mean_score"] for row in train} == {
        category: 4 * index + 0.5 for index, category in enumerate(CATEGORIES)
    }
    assert {row["category"] for row in heldout} == set(CATEGORIES)
    assert not {row["prompt"] for row in train} & {row["prompt"] for row in heldout}
    assert all("mean_score" not in row for row in heldout)


def test_the_ranking_lists_every_candidate_from_the_lowest_up() -> None:
    tried = candidates(wood=[0.9, 0.8, 0.7], metal=[0.1, 0.2, 0.3])
    lines = ranking_table(tried, lowest_per_category(tried, 2)).splitlines()
    assert lines[0] == "category,rank,mean_score,chosen,prompt"
    assert [line.split(",")[:4] for line in lines[1:]] == [
        ["metal", "1", "0.100000", "True"],
        ["metal", "2", "0.200000", "False"],
        ["metal", "3", "0.300000", "False"],
        ["wood", "1", "0.700000", "True"],
        ["wood", "2", "0.800000", "False"],
        ["wood", "3", "0.900000", "False"],
    ]
