"""A contest from prompts to files: report.json, tables as CSV and Parquet, report.html."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from components.core.errors import UserError
from components.core.generator import category_of, check_prompt
from components.core.materials.files import write_whole
from components.core.materials.material import CATEGORIES
from components.core.materials.prompt_pool import draw_prompts
from components.core.platform.machine import hardware, versions
from components.core.platform.seeds import derive_seed
from components.core.realism.model import RealismModel
from components.core.realism.reward import GOLD, REWARD
from components.core.realism.scorer import LinearScorer
from components.evaluation.comparison import Pair, make_pairs, measure
from components.evaluation.contest import by_category, differences, mean_of, measures
from components.evaluation.contest_notes import notes
from components.evaluation.contest_page import contest_page
from components.evaluation.contest_pictures import Gallery
from components.evaluation.entrants import Entrant, external, sampled
from components.evaluation.judges import Judges
from components.evaluation.set_measures import SetMeasure, set_measures, with_intervals

REQUEST = "request.json"
MEDIA = "media"
"""Folder of the page's pictures."""


@dataclass(frozen=True)
class Request:
    """What is compared, by name; a folder holds the contest of one request.

    contents: the hash of each model's files, since a model trained again keeps its address.
    """

    models: Mapping[str, str]
    externals: Mapping[str, str]
    prompts: Sequence[str]
    count: int
    seed: int
    lights: int = 2
    tileable: bool = False
    contents: Mapping[str, str] = field(default_factory=dict)


def drawn_prompts(count: int, seed: int) -> list[str]:
    """Held-out prompts, the categories in turn; at most `count`."""
    rng = np.random.default_rng(derive_seed(seed, "evaluate", "prompts"))
    each = -(-count // len(CATEGORIES))
    columns = [draw_prompts(category, each, rng, heldout=True) for category in CATEGORIES]
    rounds = [column[turn] for turn in range(each) for column in columns if turn < len(column)]
    return rounds[:count]


def read_prompts(file: Path) -> list[str]:
    """One prompt a line; UserError where one names no category."""
    if not file.is_file():
        raise UserError(f"{file}: expected a text file with one prompt a line")
    lines = file.read_text("utf-8").splitlines()
    prompts = list(dict.fromkeys(check_prompt(line) for line in lines if line.strip()))
    for prompt in prompts:
        if not category_of(prompt):
            raise UserError(
                f"{file}: '{prompt}' names none of the categories {', '.join(CATEGORIES)}"
            )
    if not prompts:
        raise UserError(f"{file}: expected a text file with one prompt a line")
    return prompts


def pairs_of(request: Request, environments: int) -> list[Pair]:
    """One prompt, seed and lights, of that many environments, for each material of a method."""
    rows = [{"prompt": prompt, "category": category_of(prompt)} for prompt in request.prompts]
    return make_pairs(
        rows,
        count=min(request.count, len(rows)),
        seeds_per_prompt=-(-request.count // len(rows)),
        lights=request.lights,
        environments=environments,
        seed=request.seed,
    )[: request.count]


def claim(folder: Path, request: Request) -> None:
    """Give the folder to this request; UserError if it holds another's work."""
    text = json.dumps(asdict(request), indent=1, ensure_ascii=False) + "\n"
    file = folder / REQUEST
    if file.is_file() and file.read_text("utf-8") != text:
        raise UserError(
            f"{folder} holds another comparison, or one of models that have changed since: give "
            "another folder or remove it"
        )
    write_whole(file, text.encode())


def run_contest(request: Request, judges: Judges, folder: Path) -> dict[str, Any]:
    """Sample, render, measure and write; returns report.json. Started again, it goes on."""
    claim(folder, request)
    pairs = pairs_of(request, len(judges.environments))
    entrants = {name: external(Path(at), pairs) for name, at in request.externals.items()}
    for name, uri in request.models.items():
        work = folder / "materials" / name
        entrants[name] = sampled(uri, pairs, work, tileable=request.tileable)
    # The first model is what the others are compared with.
    entrants = {name: entrants[name] for name in (*request.models, *request.externals)}
    entrants = at_one_size(entrants)
    scorers = scorers_of(judges.reward)
    sides = {
        name: measure(
            pairs,
            entrant.materials,
            renderer=judges.renderer,
            environments=judges.environments,
            features=judges.features,
            scorers=scorers,
        )
        for name, entrant in entrants.items()
    }
    measured = {name: measures(side) for name, side in sides.items()}
    prompts = [pair.prompt for pair in pairs]
    sets = {name: set_measures(side, prompts, judges.reference) for name, side in sides.items()}
    tables = {
        "methods": [_row(name, entrants[name], measured[name], sets[name]) for name in entrants],
        "differences": differences(pairs, measured, sets, seed=request.seed),
        "categories": by_category(pairs, measured),
        **({"preferences": judges.preferences} if judges.preferences else {}),
    }
    report = {
        "materials": len(pairs), "seed": request.seed, "lights": request.lights,
        "notes": notes(judges, entrants, len(set(prompts))), "request": asdict(request),
        "given": dict(judges.given), "environment": {**hardware(), **versions()},
        "created": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), **tables,
    }  # fmt: skip
    materials = {name: entrant.materials for name, entrant in entrants.items()}
    media = folder / MEDIA
    plates = Gallery(media, judges.renderer, judges.environments, pairs, materials).plates()
    scores = {name: values[REWARD] for name, values in measured.items() if REWARD in values}
    _write(folder, report, tables, contest_page(report, tables, plates, media, scores))
    return report


def scorers_of(reward: RealismModel | None) -> dict[str, LinearScorer]:
    """The reward, and the gold scorer where the model carries one."""
    if reward is None:
        return {}
    return {REWARD: reward.scorer} | ({GOLD: reward.gold} if reward.gold else {})


def at_one_size(entrants: Mapping[str, Entrant]) -> dict[str, Entrant]:
    """All materials at the smallest size among them: slopes, seams and contrast depend on it."""
    size = min(min(m.size) for entrant in entrants.values() for m in entrant.materials)
    return {
        name: replace(entrant, materials=[m.resized(size) for m in entrant.materials])
        for name, entrant in entrants.items()
    }


def _row(
    name: str,
    entrant: Entrant,
    measured: Mapping[str, npt.NDArray[np.floating]],
    whole: Mapping[str, SetMeasure],
) -> dict[str, Any]:
    means = {key: mean_of(values) for key, values in measured.items()}
    cost = {"seconds": entrant.seconds, "memory_bytes": entrant.memory}
    return {"method": name, **means, **with_intervals(whole), **cost}


def _write(folder: Path, report: Mapping[str, Any], tables: Mapping[str, Any], page: str) -> None:
    for suffix in ("csv", "parquet"):  # of a run before, which had votes
        (folder / f"preferences.{suffix}").unlink(missing_ok=True)
    for name, rows in tables.items():
        frame, parquet = pd.DataFrame(rows), io.BytesIO()
        frame.to_parquet(parquet, index=False)
        write_whole(folder / f"{name}.csv", frame.to_csv(index=False).encode())
        write_whole(folder / f"{name}.parquet", parquet.getvalue())
    write_whole(folder / "report.html", page.encode())
    text = json.dumps(report, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    write_whole(folder / "report.json", text.encode())
