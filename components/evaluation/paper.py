"""The paper's own figures beside what a run has measured.

The paper's are quoted with their place in it and marked as the paper's wherever they appear. What a
run has not computed says so and why, with the command that computes it where there is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.evaluation.ablation import best_variant
from components.evaluation.markup import table

Json = Mapping[str, Any]

NOTE = (
    "The paper trained SDXL at 1024² for days, with 800,000 photographs and people's judgements. "
    "Scores of two rewards have different scales, so compare directions and ratios, not values."
)
HEAD = ("item", "this run", "the paper", "in the paper")
VOTES = (
    "people have to vote: realmat study create, then realmat study results --json, given to "
    "promotion_gate.votes"
)
OTHERS_VOTES = (
    "a study of other methods is no part of a run: realmat study create, realmat study results "
    "NAME --json, then realmat evaluate --external NAME=DIR --votes FILE"
)
ABLATION = (
    "several trainings are no part of a run: realmat ablate prompts RECIPE, then "
    "realmat run RECIPE --ablation DIR"
)
EARLY = "it ended before the evaluation, or was made before this was computed"
OTHERS = "no other method is part of a run: realmat evaluate --external NAME=DIR"


@dataclass(frozen=True)
class Row:
    """One item of the paper: `ours` is None where this run has no figure."""

    item: str
    place: str
    paper: str
    ours: str | None
    otherwise: str = EARLY

    def cells(self) -> tuple[str, str, str, str]:
        """The row of the table."""
        ours = self.ours or f"not computed in this run, because {self.otherwise}"
        return self.item, ours, self.paper, self.place

    def as_dict(self) -> dict[str, str]:
        """The row in report-details.json; `ours` only if this run has one."""
        known = {"item": self.item, "place": self.place, "paper": self.paper}
        return {**known, **({"ours": self.ours} if self.ours else {"because": self.otherwise})}


def rows(report: Json, details: Json) -> list[Row]:
    """The items in the paper's order."""
    scorer = {**details.get("scorer", {}), **report.get("reward", {})}
    tv = details.get("scorer", {}).get("tv", {})
    pairs = details.get("pairs", [])
    plates = {plate["figure"]: plate for plate in details.get("plates", [])}
    study = details.get("study", {})
    return [
        Row("maps, renderings and rewards before and after", "Fig. 3", "pictures", _risen(pairs)),
        Row("materials of the first stage, maps and renderings", "Fig. 4", "pictures",
            f"{len(details.get('shown', []))} shown as “before”" if pairs else None),
        Row("reward, real test set", "6.1", "0.730", _number(scorer, "real_mean")),
        Row("reward, synthetic test set", "6.1", "0.516", _number(scorer, "synthetic_mean")),
        Row("the same, normalised to [0, 1]: real", "6.1", "0.723",
            _number(scorer, "real_mean_normalised")),
        Row("the same, normalised to [0, 1]: synthetic", "6.1", "0.324",
            _number(scorer, "synthetic_mean_normalised")),
        Row("images of both sets with normalised scores", "Fig. 5", "pictures",
            _shown(plates, "Fig. 5")),
        Row("people prefer after / before / neither", "6.2", "46.8 / 28.9 / 24.3 % of 641",
            _votes(study), VOTES),
        Row("reward of training prompts, first → last epoch", "6.3, Fig. 7a", "rises (a curve)",
            _ends(details, "train_reward")),
        Row("reward of prompts not trained on, first → last", "6.3, Fig. 7a",
            "rises less (a curve)", _ends(details, "heldout_reward")),
        Row("number of training prompts that does best", "6.3, Fig. 7b", "100 of 5, 30, 100, 150",
            best_variant(details.get("ablation", {})), ABLATION),
        Row("deviation among similar images, without → with TV", "6.3, Fig. 8", "0.074 → 0.030",
            _change(tv.get("std_without_normalised"), tv.get("std_with_normalised"))),
        Row("one group of similar images with its scores", "Fig. 8", "pictures",
            _shown(plates, "Fig. 8")),
        Row("diversity of one category", "Fig. 9", "pictures, beside PhotoMat's",
            plates["Fig. 9"]["note"] if "Fig. 9" in plates else None),
        Row("the same materials epoch by epoch", "Fig. 10", "pictures up to epoch 110",
            "shown above" if details.get("strips") else None,
            "the recipe's ddpo_lora.strips_every is 0" if pairs else EARLY),
        Row("renderings under one point light", "Fig. 11", "pictures, beside two other methods",
            _shown(plates, "Fig. 11")),
        Row("the same of MatFuse and ReflectanceFusion", "Fig. 11", "pictures", None, OTHERS),
        Row("people prefer RealMat / ReflectanceFusion / MatFuse / none", "6.4",
            "53 / 40 / 3 / 4 % of 440",
            None, OTHERS_VOTES),
    ]  # fmt: skip


def _shown(plates: Json, figure: str) -> str | None:
    return "shown above" if figure in plates else None


def _votes(study: Json) -> str | None:
    """Of the study that the promotion gate was given: {"after", "before", "votes"}, counts."""
    if not study.get("votes"):
        return None
    after, before, total = study["after"], study["before"], study["votes"]
    values = (100 * count / total for count in (after, before, total - after - before))
    return f"{' / '.join(f'{value:.1f}' for value in values)} % of {total}"


def beside_the_paper(report: Json, details: Json) -> str:
    """The table as a section of the page; nothing before there is a reward to compare."""
    if "reward" not in report:
        return ""
    body = table(HEAD, [row.cells() for row in rows(report, details)])
    return f'<h2>Beside the paper</h2><p class="note">{NOTE}</p><div class="card">{body}</div>'


def _number(values: Json, key: str) -> str | None:
    return f"{values[key]:.3f}" if key in values else None


def _change(before: float | None, after: float | None) -> str | None:
    return None if before is None or after is None else f"{before:.3f} → {after:.3f}"


def _ends(details: Json, curve: str) -> str | None:
    known = [value for value in details.get("curves", {}).get(curve, []) if value is not None]
    return _change(known[0], known[-1]) if len(known) > 1 else None


def _risen(pairs: Sequence[Json]) -> str | None:
    if not pairs:
        return None
    count = sum(pair["scores"][1] > pair["scores"][0] for pair in pairs)
    return f"{count} of {len(pairs)} ({count / len(pairs):.0%})"
