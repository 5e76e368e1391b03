"""A contest tells a better method from a worse one, goes on where it was and refuses other work."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from components.core.errors import UserError
from components.core.materials.files import save_material
from components.core.materials.grid import pack_uint8
from components.core.materials.library.catalogue import PAINTERS
from components.core.materials.material import Material
from components.core.materials.methods import slug
from components.core.materials.pixels import png_8
from components.core.platform.batches import save_arrays
from components.core.realism.clip import ClipFeatures
from components.core.rendering.embedded import embedded_environments
from components.evaluation.comparison import Side
from components.evaluation.contest import differences
from components.evaluation.contest_run import (
    Request,
    claim,
    drawn_prompts,
    pairs_of,
    read_prompts,
    run_contest,
)
from components.evaluation.entrants import sampled
from components.evaluation.judges import Judges
from components.evaluation.set_measures import SetMeasure, set_measures
from components.evaluation.statistics import jackknife
from pipelines.cli import main
from tests.evaluation.micro import FlatRenderer

SIZE = 32
PROMPTS = ["brick, old wall", "metal, rusty plate", "wood, oak planks", "rock, grey cliff"]


def surface(prompt: str, seed: int, *, baked: bool) -> Material:
    """A bumpy surface of random paint; baked: with light from the left in its albedo."""
    rng = np.random.default_rng(seed)
    grid = np.arange(SIZE) / SIZE * 2 * np.pi
    height = 0.5 + 0.2 * np.sin(3 * grid[:, None]) + 0.2 * np.cos(2 * grid[None, :])
    paint = rng.uniform(0.4, 0.6, (SIZE, SIZE, 1)) * rng.uniform(0.5, 1, 3)
    full = np.full((SIZE, SIZE), 0.5, np.float32)
    clean = Material(
        paint.astype(np.float32), height.astype(np.float32), full, 0 * full, prompt, "brick"
    )
    if not baked:
        return clean
    shade = 0.6 + 0.6 * clean.normal()[..., :1]
    return replace(clean, albedo=(clean.albedo * np.clip(shade, 0.1, 1)).astype(np.float32))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("methods")
    for name in ("clean", "baked"):
        for i, prompt in enumerate(PROMPTS):
            made = surface(prompt, i, baked=name == "baked")
            save_material(made, root / name / slug(prompt))
    return {name: str(root / name) for name in ("clean", "baked")}


@pytest.fixture(scope="module")
def judges() -> Judges:
    return Judges(FlatRenderer(), embedded_environments(2), ClipFeatures.load("small"))


def test_baked_light_is_told_between_two_folders(
    folders: dict[str, str], judges: Judges, tmp_path: Path
) -> None:
    request = Request({}, folders, PROMPTS, 4, 0)
    report = run_contest(request, judges, tmp_path)
    clean, baked = report["methods"]
    assert clean["light_baking"] < 0.2 < 0.6 < baked["light_baking"]
    row = next(r for r in report["differences"] if r["measure"] == "light_baking")
    assert row["low"] > 0
    assert row["p_holm"] >= row["p_value"]
    # The plate is no metal: three of four materials are as asked.
    assert clean["metal_as_asked"] == 0.75
    assert len(report["categories"]) == 8
    assert json.loads((tmp_path / "report.json").read_text()) == report
    for name in ("methods", "differences", "categories"):
        wanted = pd.DataFrame(report[name])
        assert pd.read_parquet(tmp_path / f"{name}.parquet").equals(wanted)
        assert list(pd.read_csv(tmp_path / f"{name}.csv")["method"]) == list(wanted["method"])
    page = (tmp_path / "report.html").read_text()
    # Four prompts of two methods: under the environment, under the lamp, and five maps each.
    assert page.count("<img") == 4 * 2 * (1 + 1 + 5) == len(list((tmp_path / "media").glob("*")))
    assert "Fig. 11 · Under one point light" in page
    assert "http" not in page
    assert "No realism" in page


def test_the_page_says_how_another_methods_maps_were_completed(
    folders: dict[str, str], judges: Judges, tmp_path: Path
) -> None:
    base = np.full((SIZE, SIZE, 3), 0.4, np.float32)
    for i, prompt in enumerate(PROMPTS):
        folder = tmp_path / "other" / slug(prompt)
        folder.mkdir(parents=True)
        (folder / "diffuse_1k.png").write_bytes(png_8(base))
        if i:
            (folder / "specular_1k.png").write_bytes(png_8(base))
    methods = {**folders, "other": str(tmp_path / "other")}
    notes = run_contest(Request({}, methods, PROMPTS, 4, 0), judges, tmp_path / "out")["notes"]
    told = [note.removeprefix("other: ") for note in notes if note.startswith("other: ")]
    assert told == [
        "metalness was converted from the specular map of 3 of 4 materials.",
        "no height map in 4 of 4 materials: it was made from the normals, or is flat without any.",
        "no roughness map in 4 of 4 materials: it was taken as 0.7.",
        "no metallic map in 1 of 4 materials: taken as no metal.",
    ]
    assert not [note for note in notes if note.startswith("clean: ")]


def test_a_folder_holds_one_comparison(folders: dict[str, str], tmp_path: Path) -> None:
    request = Request({}, folders, PROMPTS, 4, 0)
    claim(tmp_path, request)
    claim(tmp_path, request)
    for other in (replace(request, seed=1), replace(request, contents={"small": "trained again"})):
        with pytest.raises(UserError, match="holds another comparison"):
            claim(tmp_path, other)


def test_finished_batches_are_not_sampled_again(tmp_path: Path) -> None:
    pairs = pairs_of(Request({}, {}, PROMPTS, 4, 0), 2)
    grids = np.stack([pack_uint8(surface(p.prompt, i, baked=False)) for i, p in enumerate(pairs)])
    kept = {"grids": grids, "seconds": np.array(1.5), "memory": np.array(7)}
    save_arrays(tmp_path / "materials-00000.npz", kept)
    entrant = sampled("no-such-model", pairs, tmp_path, tileable=False)
    assert (entrant.seconds, entrant.memory) == (1.5, 7)
    assert [m.caption for m in entrant.materials] == [pair.prompt for pair in pairs]
    assert np.array_equal(pack_uint8(entrant.materials[2]), grids[2])


def test_more_materials_than_prompts_are_further_seeds_under_the_prompts_lights() -> None:
    pairs = pairs_of(Request({}, {}, PROMPTS[:2], 5, 3), 4)
    assert len(pairs) == 5
    assert len({(pair.prompt, pair.seed) for pair in pairs}) == 5
    assert len({pair.lights for pair in pairs}) == 2


def test_drawn_prompts_are_held_out_and_take_the_categories_in_turn() -> None:
    prompts = drawn_prompts(20, 0)
    assert len(set(prompts)) == 20
    assert {prompt.split(",")[0] for prompt in prompts[:16]} == set(PAINTERS)


def feature_side(features_nld: Any) -> Side:
    """A side of which only the features matter."""
    unit = features_nld / np.linalg.norm(features_nld, axis=-1, keepdims=True)
    return Side([], unit, {}, np.zeros(len(unit)), np.zeros(len(unit)))


def spread_sides(kept: float, prompts: int = 12) -> dict[str, dict[str, SetMeasure]]:
    """Set measures of two methods; the second's features vary by so much less around their mean."""
    rng = np.random.default_rng(0)
    centre, noise = rng.normal(size=8), rng.normal(size=(2 * prompts, 2, 8))
    names = [f"p{i // 2}" for i in range(2 * prompts)]
    reference = rng.normal(size=(20, 8))
    reference /= np.linalg.norm(reference, axis=1, keepdims=True)
    return {
        name: set_measures(feature_side(centre + share * noise), names, reference)
        for name, share in (("wide", 1.0), ("narrow", kept))
    }


def set_rows(kept: float, prompts: int = 12) -> dict[str, dict[str, Any]]:
    pairs = pairs_of(Request({}, {}, PROMPTS, 4, 0), 2)
    one = {"clip_score": np.zeros(4)}
    sets = spread_sides(kept, prompts)
    rows = differences(pairs, {"wide": one, "narrow": one}, sets, seed=0, resamples=100)
    return {row["measure"]: row for row in rows}


def test_a_method_of_less_variety_is_told_and_corrected_for_all_comparisons() -> None:
    rows = set_rows(kept=0.3)
    assert set(rows) == {"clip_score", "distance", "distance_within", "vendi", "kid"}
    for name in ("distance", "distance_within", "vendi"):
        assert rows[name]["high"] < 0, name
        assert rows[name]["p_value"] < rows[name]["p_holm"] < 0.05, name
    smallest = min(rows.values(), key=lambda row: row["p_value"])
    assert smallest["p_holm"] == pytest.approx(5 * smallest["p_value"])


def test_the_same_set_differs_in_nothing() -> None:
    for name, row in set_rows(kept=1.0).items():
        assert (row["difference"], row["low"], row["high"], row["p_value"]) == (0, 0, 0, 1), name


def test_pairing_makes_the_interval_of_a_difference_narrower() -> None:
    """Two methods whose features differ by little: what they share cancels."""
    measured = spread_sides(kept=0.95)
    change = set_rows(kept=0.95)["distance"]
    one = jackknife(measured["wide"]["distance"].value, measured["wide"]["distance"].left_out)
    assert one is not None
    assert change["high"] - change["low"] < 0.5 * (one.high - one.low)


def test_two_prompts_have_no_interval_of_a_set() -> None:
    assert set(set_rows(kept=0.3, prompts=2)) == {"clip_score"}


def test_one_prompt_has_no_differences_and_the_page_says_so(
    folders: dict[str, str], judges: Judges, tmp_path: Path
) -> None:
    report = run_contest(Request({}, folders, PROMPTS[:1], 1, 0), judges, tmp_path)
    assert report["differences"] == []
    assert "No differences" in " ".join(report["notes"])


def test_every_comparison_counts_in_the_correction() -> None:
    pairs = pairs_of(Request({}, {}, PROMPTS, 4, 0), 2)
    rng = np.random.default_rng(0)
    methods = {n: {"clip_score": rng.normal(size=4), "seam": rng.normal(size=4)} for n in "abc"}
    rows = differences(pairs, methods, seed=0, resamples=100)
    assert {(row["method"], row["measure"]) for row in rows} == {
        ("b", "clip_score"), ("b", "seam"), ("c", "clip_score"), ("c", "seam"),
    }  # fmt: skip
    smallest = min(rows, key=lambda row: row["p_value"])
    assert smallest["p_holm"] == pytest.approx(min(1.0, 4 * smallest["p_value"]))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--external", "=here"], "must be NAME=DIR"),
        (["--external", "a=/nowhere"], "one folder for each prompt"),
        (["--prompts", "/nowhere.txt"], "one prompt a line"),
        (["--model", "small"], "same name"),
    ],
)
def test_bad_input_is_one_sentence(
    given: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "--model", "small", "-o", str(tmp_path / "out"), *given]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_prompt_without_a_category_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("old brick wall\n\nsomething nice\n")
    with pytest.raises(UserError, match="'something nice' names none"):
        read_prompts(file)
