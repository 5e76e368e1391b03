"""A contest from prompts to files: report.json, tables as CSV and Parquet, report.html."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from components.core.errors import UserError
from components.core.generator import category_of, check_prompt
from components.core.materials.files import write_whole
from components.core.materials.material import CATEGORIES
from components.core.materials.prompt_pool import draw_prompts
from components.core.platform.seeds import derive_seed
from components.core.realism.clip import ClipFeatures
from components.core.realism.model import RealismModel
from components.core.realism.reward import GOLD, REWARD
from components.core.realism.scorer import LinearScorer
from components.core.rendering.batch import SrgbRenderer
from components.core.rendering.environments import Environment
from components.evaluation.comparison import Pair, Side, make_pairs, measure
from components.evaluation.contest import (
    by_category,
    differences,
    mean_of,
    measures,
    set_measures,
)
from components.evaluation.contest_page import contest_page
from components.evaluation.entrants import Entrant, external, sampled

REQUEST = "request.json"
SHOWN = 8
"""Prompts whose renderings the page shows, the first ones."""


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


@dataclass(frozen=True)
class Judges:
    """What looks at the materials; without a reward there is no realism."""

    renderer: SrgbRenderer
    environments: Sequence[Environment]
    features: ClipFeatures
    reward: RealismModel | None = None
    reference: npt.NDArray[np.floating] | None = None
    """Features (M, D) of the photographs that `kid` compares with."""
    preferences: Sequence[Mapping[str, Any]] = ()
    """People's, of a study of these methods (`read_preferences`)."""
    set_aside: Sequence[str] = ()
    """"file: reason" of reference photographs that could not be used."""


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
    tables = {
        "methods": [_row(name, entrants[name], measured[name], sides[name], pairs, judges)
                    for name in entrants],
        "differences": differences(pairs, measured, seed=request.seed),
        "categories": by_category(pairs, measured),
        **({"preferences": judges.preferences} if judges.preferences else {}),
    }  # fmt: skip
    report = {
        "materials": len(pairs), "seed": request.seed, "lights": request.lights,
        "notes": notes(judges, entrants), "request": asdict(request), **tables,
    }  # fmt: skip
    shown = _pictures(pairs, entrants, judges)
    _write(folder, report, tables, contest_page(report, tables, shown))
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


def notes(judges: Judges, entrants: Mapping[str, Entrant]) -> list[str]:
    """What this comparison can't say."""
    size = next(iter(entrants.values())).materials[0].size[0]
    found = [
        f"All maps were brought to {size} × {size} pixels, the smallest size among them.",
        "Means leave out what could not be measured (–): light baked into the albedo of a flat "
        "surface. Brackets (in the files: low and high) are 95 % intervals over prompts.",
    ]
    if judges.reward is None:
        found.append("No realism: no model has a reward; give one with --reward.")
    elif judges.reward.gold is None:
        found.append("No gold score: the reward's model carries no gold scorer.")
    if judges.reference is None:
        found.append("No KID: there are no photographs to compare with; give --reference.")
    else:
        found.append(
            f"KID is on features of this project's CLIP, against {len(judges.reference)} "
            "photographs: it is not comparable with published KIDs, which are on Inception's."
        )
    if judges.set_aside:
        aside = "; ".join(judges.set_aside)
        found.append(f"Reference photographs set aside: {len(judges.set_aside)} ({aside}).")
    if judges.preferences:
        voted = {str(row["method"]) for row in judges.preferences}
        found.append(
            "People's preferences are of the study that --votes gave; their intervals are over "
            "participants, or Wilson's where there are too few."
        )
        if not voted & set(entrants):
            found.append("That study names none of the methods compared here.")
    if any(entrant.seconds is None for entrant in entrants.values()):
        found.append("No seconds and memory for folders: they were made elsewhere.")
    return found


def _row(
    name: str,
    entrant: Entrant,
    measured: Mapping[str, npt.NDArray[np.floating]],
    side: Side,
    pairs: Sequence[Pair],
    judges: Judges,
) -> dict[str, Any]:
    means = {key: mean_of(values) for key, values in measured.items()}
    cost = {"seconds": entrant.seconds, "memory_bytes": entrant.memory}
    whole = set_measures(side, [pair.prompt for pair in pairs], judges.reference)
    return {"method": name, **means, **whole, **cost}


def _pictures(
    pairs: Sequence[Pair], entrants: Mapping[str, Entrant], judges: Judges
) -> list[tuple[str, list[dict[str, str]]]]:
    shown = []
    for i, pair in enumerate(pairs[:SHOWN]):
        light = pair.lights[0]
        strip = [
            {"method": name, "url": _url(judges.renderer.render_srgb(
                entrant.materials[i], judges.environments[light.environment],
                rotation=light.rotation, seed=light.seed))}
            for name, entrant in entrants.items()
        ]  # fmt: skip
        shown.append((pair.prompt, strip))
    return shown


def _url(image: npt.NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


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
