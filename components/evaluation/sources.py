"""Where a run's data came from, in sentences that say plainly what stands in for what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.evaluation.summaries import read_json, read_lines

Artifacts = Mapping[str, Path]


def sources(
    artifacts: Artifacts,
    dataset: Sequence[Path],
    parameters: Mapping[str, str],
    details: Mapping[str, Any],
) -> list[tuple[str, str]]:
    """(name, sentence) of each kind of data that went into the run.

    `dataset` are the parts that the tasks of synthetic_data made.
    """
    found: list[tuple[str, str]] = []
    if dataset:
        found.append(("materials", _materials(dataset, parameters.get("materials", ""))))
    if "photo_retrieval" in artifacts:
        found.append(("photographs", _photographs(artifacts, parameters.get("photos", ""))))
    if "environments" in details:
        found.append(("light", _environments(dataset, details, parameters.get("environments", ""))))
    if "annotation_sync" in artifacts:
        found.append(("labels by", _annotations(artifacts)))
    if "realism_labels" in artifacts:
        found.append(("realism labels", _labels(artifacts)))
    if "prompt_selection" in artifacts:
        found.append(("prompts", _prompts(artifacts)))
    return found


def files_set_aside(artifacts: Artifacts, dataset: Sequence[Path]) -> list[dict[str, Any]]:
    """{"source", "reason"} of every file that was not used."""
    folders = [*dataset, *(artifacts[name] for name in ("photo_retrieval",) if name in artifacts)]
    return [row for folder in folders for row in read_lines(folder / "rejected.jsonl")]


def _counts(dataset: Sequence[Path]) -> Counter[str]:
    """What the parts of the data set counted, together."""
    counts: Counter[str] = Counter()
    for part in dataset:
        counts.update(read_json(part / "counts.json"))
    return counts


def _materials(dataset: Sequence[Path], uri: str) -> str:
    counts = _counts(dataset)
    bases = [f"{counts['library']} materials of the procedural library"]
    if uri:
        aside = counts["materials_set_aside"]
        note = f" ({aside} files set aside)" if aside else ""
        noted = counts["materials_noted"]
        note += f", {noted} of them read with a doubt (notes.jsonl)" if noted else ""
        bases.append(f"{counts['materials']} from {uri}{note}")
    made = f"{counts['grids']} grids and {counts['renderings']} renderings of their variations"
    lost = counts["grids_failed"]
    return f"{' and '.join(bases)}: {made}" + (f", {lost} could not be made" if lost else "")


def _photographs(artifacts: Artifacts, uri: str) -> str:
    folder = artifacts["photo_retrieval"]
    counts = read_json(folder / "counts.json")
    searched, kept = counts.get("searched", 0), counts.get("kept", 0)
    if not uri:
        origin = "embedded stand-in, rendered by this project, no photographs: "
        distractors = f", {counts.get('distractors_kept', 0)} of them distractors"
        return f"{origin}{searched} images searched, {kept} kept{distractors}"
    aside = counts.get("set_aside", 0)
    note = f", {aside} files set aside" if aside else ""
    return f"{searched} photographs from {uri}: {kept} kept by the search{note}"


def _environments(dataset: Sequence[Path], details: Mapping[str, Any], uri: str) -> str:
    count, counts = details["environments"], _counts(dataset)
    if not uri:
        return f"{count} environments, embedded"
    aside, noted = counts["environments_set_aside"], counts["environments_noted"]
    note = f" ({aside} files set aside)" if aside else ""
    note += f", {noted} of them read with a doubt (notes.jsonl)" if noted else ""
    return f"{count} environments from {uri}{note}"


def _annotations(artifacts: Artifacts) -> str:
    rows = read_lines(artifacts["annotation_sync"] / "annotations.jsonl")
    by_annotator = Counter(str(row.get("annotator", "")) for row in rows)
    parts = [f"{name} ({count} labels)" for name, count in by_annotator.most_common()]
    return ", ".join(parts) or "nobody"


def _labels(artifacts: Artifacts) -> str:
    rows = read_lines(artifacts["realism_labels"] / "labels.jsonl")
    annotated = sum(bool(row.get("annotated")) for row in rows)
    realistic = sum(int(row.get("label", 0)) for row in rows)
    return (
        f"{len(rows)} images, {annotated} labelled by annotators and the rest by the classifiers; "
        f"{realistic} realistic"
    )


def _prompts(artifacts: Artifacts) -> str:
    rows = read_lines(artifacts["prompt_selection"] / "prompts.jsonl")
    splits = Counter(str(row.get("split", "")) for row in rows)
    return f"{splits['train']} for training, {splits['heldout']} held out"
