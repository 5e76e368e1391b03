"""What a contest can't say, and how other methods' maps were read: sentences for its page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from components.core.intervals import FEW_CLUSTERS
from components.core.materials.pbr_set import DEFAULT_ROUGHNESS
from components.evaluation.entrants import Entrant
from components.evaluation.judges import Judges

INSTEAD = {
    "height": "it was made from the normals, or is flat without any",
    "roughness": f"it was taken as {DEFAULT_ROUGHNESS:g}",
    "metallic": "taken as no metal",
}
"""What stands in for a map that another method does not make (`load_pbr_set`)."""


def notes(judges: Judges, entrants: Mapping[str, Entrant], prompts: int) -> list[str]:
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
    if len(entrants) > 1 and prompts < 2:
        found.append("No differences: an interval needs two prompts at least.")
    elif len(entrants) > 1 and prompts < FEW_CLUSTERS:
        found.append(
            f"{prompts} prompts are few: intervals are Student's, and a corrected p of 0.05 may be "
            "out of reach."
        )
    for name, entrant in entrants.items():
        found += [f"{name}: {told}" for told in read_how(entrant)]
    if any(entrant.seconds is None for entrant in entrants.values()):
        found.append("No seconds and memory for folders: they were made elsewhere.")
    return found


def read_how(entrant: Entrant) -> list[str]:
    """How the maps of another method's folders were completed and converted, with how often."""
    count = len(entrant.materials)
    defaults: Counter[str] = Counter()
    converted: Counter[str] = Counter()
    doubts: Counter[str] = Counter()
    for material in entrant.materials:
        known = material.metadata
        defaults.update(known.get("defaults", []))
        converted.update([known["converted_from"]] if "converted_from" in known else [])
        doubts.update(known.get("notes", []))
    found = [
        f"metalness was converted from the {name} map of {number} of {count} materials."
        for name, number in converted.items()
    ]
    found += [
        f"no {name} map in {number} of {count} materials: {INSTEAD[name]}."
        for name, number in defaults.items()
    ]
    return found + [f"{told} ({number} of {count} materials)." for told, number in doubts.items()]
