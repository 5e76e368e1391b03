"""report.json keeps its contract, report.html is self-contained and escapes what it is given."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from components.evaluation.licences import LIBRARY, UNKNOWN, data_origin
from components.evaluation.report import compose_report
from components.evaluation.summaries import write_lines
from components.evaluation.tables import write_tables

VOID = {"meta", "img", "input", "br", "line", "rect", "circle", "polyline", "polygon"}
MODEL = {"name": "realmat", "version": "3", "alias": "champion", "content_hash": "x"}
STAGES = [{"name": "ddpo_lora", "seconds": 61.5, "artifact": "x"}]


class Balanced(HTMLParser):
    """Fails on tags that are not closed in order; collects attributes and visible text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def compose(
    tmp_path: Path,
    artifacts: dict[str, Path],
    ablation: dict[str, Any] | None = None,
    runs: Sequence[Mapping[str, str]] = (),
    **parameters: str,
) -> Balanced:
    compose_report(
        tmp_path / "report",
        recipe="smoke",
        settings={"ddpo_lora": {"epochs": 4}},
        stages=STAGES,
        artifacts=artifacts,
        dataset=[
            artifacts[name] for name in ("synthetic_data", "second_part") if name in artifacts
        ],
        parameters=parameters,
        model=MODEL if "promotion_gate" in artifacts else None,
        ablation=ablation,
        runs=runs,
    )
    page = Balanced()
    page.feed((tmp_path / "report" / "report.html").read_text("utf-8"))
    assert page.open == []
    return page


def read(tmp_path: Path) -> dict[str, object]:
    report: dict[str, object] = json.loads((tmp_path / "report" / "report.json").read_text())
    return report


def test_report_json_has_exactly_the_keys_of_the_contract(
    tmp_path: Path, artifacts: dict[str, Path]
) -> None:
    compose(tmp_path, artifacts)
    report = read(tmp_path)
    assert list(report) == [
        "recipe", "stages", "reward", "ddpo", "before_after", "gold", "clip_score", "diversity",
        "model",
    ]  # fmt: skip
    assert report["stages"] == [{"name": "ddpo_lora", "seconds": 61.5}]
    assert report["reward"] == {
        "real_mean": 0.81,
        "synthetic_mean": 0.32,
        "holdout_auc": 0.95,
        "tv": {"std_with": 0.03, "std_without": 0.074},
    }
    assert report["model"] == {"name": "realmat", "version": "3", "alias": "champion"}
    assert report["ddpo"] == {
        "epochs": 4,
        "train_reward": pytest.approx([0.30, 0.31, 0.32, 0.33]),
        "heldout_reward": pytest.approx([0.31, 0.326, 0.35]),
    }


def test_what_was_not_computed_is_absent(tmp_path: Path, artifacts: dict[str, Path]) -> None:
    early = {name: artifacts[name] for name in ("synthetic_data", "reward_training")}
    page = compose(tmp_path, early)
    assert list(read(tmp_path)) == ["recipe", "stages", "reward"]
    assert "ended before the evaluation" in page.text
    for absent in ("Promotion gate", "Before and after", "labels by"):
        assert absent not in page.text


def test_page_needs_no_network_and_only_its_own_script_runs(
    tmp_path: Path, artifacts: dict[str, Path]
) -> None:
    page = compose(tmp_path, artifacts)
    assert page.addresses
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert page.scripts == 1
    assert '<script>alert("x")</script>' in page.text  # shown as text, not run
    source = (tmp_path / "report" / "report.html").read_text("utf-8")
    assert not re.search(r"https?://|@import|url\(", source)


def test_page_says_what_stands_in_for_photographs(
    tmp_path: Path, artifacts: dict[str, Path]
) -> None:
    embedded = compose(tmp_path, artifacts).text
    assert "embedded stand-in, rendered by this project" in embedded
    assert "simulated annotator (3 labels)" in embedded
    given = compose(tmp_path, artifacts, photos="pictures/<b>mine</b>").text
    assert "5 photographs from pictures/<b>mine</b>" in given
    assert "640 materials of the procedural library" in given  # in two parts
    assert "stand-in" not in given
    assert "p/broken.jpg" in given
    assert "albedo.png is empty" in given
    assert "the image is truncated" in given


@pytest.mark.parametrize(
    ("interval", "sentence"),
    [
        ([0.01, 0.05], "more realistic"),
        ([-0.05, -0.01], "less realistic"),
        ([-0.01, 0.05], "No change in realism"),
    ],
)
def test_headline_follows_the_interval(
    tmp_path: Path, artifacts: dict[str, Path], interval: list[float], sentence: str
) -> None:
    file = artifacts["evaluation"] / "evaluation.json"
    values = json.loads(file.read_text())
    values["before_after"]["ci95"] = interval
    file.write_text(json.dumps(values))
    assert sentence in compose(tmp_path, artifacts).text


def test_numbers_that_are_not_finite_are_refused(
    tmp_path: Path, artifacts: dict[str, Path]
) -> None:
    file = artifacts["evaluation"] / "evaluation.json"
    file.write_text(file.read_text().replace("25.1", "NaN"))
    with pytest.raises(ValueError, match="JSON"):
        compose(tmp_path, artifacts)
    assert not (tmp_path / "report" / "report.json").exists()


def test_the_papers_figures_stand_beside_the_runs(
    tmp_path: Path, artifacts: dict[str, Path]
) -> None:
    text = compose(tmp_path, artifacts).text
    assert "Beside the paper" in text
    assert "46.8 / 28.9 / 24.3 % of 641" in text
    lines = (tmp_path / "report" / "tables" / "paper.csv").read_text().splitlines()
    assert '"reward, real test set",0.810,0.730,6.1' in lines
    assert not [line for line in lines if "people" in line]  # no votes, so no line of ours
    details = json.loads((tmp_path / "report" / "report-details.json").read_text())
    places = " ".join(row["place"] for row in details["paper"])
    for place in [
        "Fig. 3",
        "Fig. 4",
        "Fig. 5",
        "7a",
        "7b",
        "Fig. 8",
        "Fig. 9",
        "Fig. 10",
        "Fig. 11",
        "6.2",
        "6.4",
    ]:
        assert place in places
    assert all(bool(row.get("ours")) != bool(row.get("because")) for row in details["paper"])
    assert text.count("not computed in this run, because") == sum(
        "because" in row for row in details["paper"]
    )
    early = {"synthetic_data": artifacts["synthetic_data"]}
    assert "Beside the paper" not in compose(tmp_path, early).text


def test_trainings_with_other_numbers_of_prompts_are_shown_where_they_are_given(
    tmp_path: Path, artifacts: dict[str, Path]
) -> None:
    variants = {
        f"{count} prompts": {
            "train_reward": [(0, 0.3), (1, 0.5)],
            "heldout_reward": [(0, 0.3), (2, 0.3 + count / 100)],
        }
        for count in (5, 30)
    }
    assert "Fig. 7 (b)" not in compose(tmp_path, artifacts).text
    page = compose(
        tmp_path,
        artifacts,
        ablation={"recipe": "smoke", "settings": ["ddpo_lora.epochs=2"], "variants": variants},
    )
    assert "Fig. 7 (b) · Numbers of training prompts" in page.text
    assert "with the recipe smoke and ddpo_lora.epochs=2" in page.text
    source = (tmp_path / "report" / "report.html").read_text()
    assert "epoch 2 · 5 prompts 0.3500 · 30 prompts 0.6000" in source
    lines = (tmp_path / "report" / "tables" / "paper.csv").read_text()
    assert "30 prompts (held-out reward 0.600)" in lines


def test_the_votes_of_a_study_stand_beside_the_papers(
    tmp_path: Path, artifacts: dict[str, Path]
) -> None:
    file = artifacts["promotion_gate"] / "gate.json"
    study = {"after": 300, "before": 185, "votes": 641}  # section 6.2
    file.write_text(json.dumps({**json.loads(file.read_text()), "study": study}))
    compose(tmp_path, artifacts)
    lines = (tmp_path / "report" / "tables" / "paper.csv").read_text()
    assert "46.8 / 28.9 / 24.3 % of 641,46.8 / 28.9 / 24.3 % of 641" in lines


def test_the_gate_shows_the_champion_before_beside_the_new_model(
    tmp_path: Path, artifacts: dict[str, Path]
) -> None:
    text = compose(tmp_path, artifacts).text
    assert "champion v2" in text
    assert "CLIP score2523.5+1.5" in text  # the cells of a row
    assert "realism, after0.340.9own scales" in text
    details = json.loads((tmp_path / "report" / "report-details.json").read_text())
    assert details["gate"]["rules"][0]["champion"] == "0.41"
    file = artifacts["promotion_gate"] / "gate.json"
    gate = json.loads(file.read_text())
    del gate["champion"]
    file.write_text(json.dumps(gate))
    assert "champion v" not in compose(tmp_path, artifacts).text


def test_licences_seeds_and_runs_are_in_the_report(
    tmp_path: Path, artifacts: dict[str, Path]
) -> None:
    painter = {"source": "sets/a", "licence": "CC0-1.0", "authors": "<b>A. Painter</b>"}
    rows = [{"source": "library"}, {"source": "library"}, painter, {"source": "sets/b"}]
    write_lines(artifacts["synthetic_data"] / "index.jsonl", rows)
    origin = data_origin([artifacts["synthetic_data"], artifacts["second_part"]])
    assert origin["licences"] == {LIBRARY: 2, "CC0-1.0": 1, UNKNOWN: 1}
    file = artifacts["evaluation"] / "details.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "data": origin}))
    address = "https://tracking.example.org/#/experiments/1/runs/abc"
    compose_report(
        tmp_path / "report",
        recipe="smoke",
        settings={"ddpo_lora": {"epochs": 4, "seed": 77}},
        stages=STAGES,
        artifacts=artifacts,
        runs=[
            {"name": "smoke", "run": "abc", "address": address},
            {"name": "odd", "run": "x", "address": "javascript:alert(1)"},
        ],
    )
    source = (tmp_path / "report" / "report.html").read_text()
    assert f'<a href="{address}">smoke abc</a>' in source
    assert "javascript:" not in source
    assert "&lt;b&gt;A. Painter" in source
    details = json.loads((tmp_path / "report" / "report-details.json").read_text())
    assert details["seeds"] == {"ddpo_lora": 77}
    assert details["data"] == origin


def test_tables_hold_every_pair_and_its_category(
    tmp_path: Path, artifacts: dict[str, Path]
) -> None:
    compose(tmp_path, artifacts)
    folder = tmp_path / "report" / "tables"
    with (folder / "pairs.csv").open(newline="") as file:
        pairs = list(csv.DictReader(file))
    for name in ("pairs", "categories", "epochs", "paper"):
        same = pd.read_parquet(folder / f"{name}.parquet")
        assert len(same) == len(pd.read_csv(folder / f"{name}.csv")) > 0
    exact = pd.read_parquet(folder / "pairs.parquet")["realism_after"].tolist()
    assert exact == [float(row["realism_after"]) for row in pairs]
    details = json.loads((artifacts["evaluation"] / "details.json").read_text())
    assert [row["prompt"] for row in pairs] == [pair["prompt"] for pair in details["pairs"]]
    with (folder / "categories.csv").open(newline="") as file:
        categories = {row["category"]: row for row in csv.DictReader(file)}
    assert sum(int(row["pairs"]) for row in categories.values()) == len(pairs)
    for name, row in categories.items():
        own = [float(p["realism_after"]) for p in pairs if p["category"] == name]
        assert float(row["realism_after"]) == pytest.approx(sum(own) / len(own))


def test_a_cell_is_never_a_formula(tmp_path: Path) -> None:
    pair = {"prompt": "=1+1", "category": "brick", "seed": 1, "scores": [0, 1], "gold": [0, 1]}
    write_tables(tmp_path, {}, {"pairs": [pair]})
    assert "'=1+1,brick" in (tmp_path / "pairs.csv").read_text()
