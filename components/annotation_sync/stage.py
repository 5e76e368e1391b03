"""Offers images of both sets for judgement and writes down the judgements that are there.

Section 4.1 of the paper: 2,000 images of each set are annotated by hand as realistic or not.
Judgements come from Label Studio or from the simulated annotator, through one interface; the
annotator's name stays with each of them.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from components.annotation_sync.config import Config
from components.core.errors import UserError
from components.core.platform.artifacts import new_artifact, open_artifact
from components.core.platform.seeds import derive_seed
from components.core.platform.tracking import Tracker
from labeling.annotations import SETS, Annotation, AnnotationSource, SetName, Task

KIND = "annotations"


def run(
    config: Config,
    *,
    photographs: Path,
    generated: Path,
    output: Path,
    work: Path,
    tracker: Tracker,
) -> None:
    """Write the artifact "annotations"; see the module."""
    folders = {
        SETS[0]: (open_artifact(photographs, "photographs"), "images.npy"),
        SETS[1]: (open_artifact(generated, "generated-materials"), "renderings.npy"),
    }
    tasks = [
        task
        for name, (folder, images) in folders.items()
        for task in choose_tasks(name, folder, images, config)
    ]
    write(config, tasks, make_source(config), output=output, tracker=tracker)


def write(
    config: Config,
    tasks: Sequence[Task],
    source: AnnotationSource,
    *,
    output: Path,
    tracker: Tracker,
) -> None:
    """Push the tasks, pull what has been judged, and write it if it is enough."""
    new = source.push(tasks)
    annotations = source.pull(tasks)
    for name in SETS:
        _check_enough(config, name, tasks, annotations)
    with new_artifact(output, KIND, "annotation_sync", config) as folder:
        lines = "".join(json.dumps(annotation.row()) + "\n" for annotation in annotations)
        (folder / "annotations.jsonl").write_text(lines, encoding="utf-8")
    tracker.log_metrics({"tasks": len(tasks), "new_tasks": new, "annotations": len(annotations)})
    counts = Counter((a.set, a.label, a.annotator) for a in annotations)
    summary = {" / ".join(key): number for key, number in sorted(counts.items())}
    tracker.log_dict(summary, "annotations.json")


def choose_tasks(name: SetName, folder: Path, images: str, config: Config) -> list[Task]:
    """At most `items_per_set` random images of a set, in the order of the set."""
    pixels = np.load(folder / images, mmap_mode="r", allow_pickle=False)
    lines = (folder / "index.jsonl").read_text(encoding="utf-8").splitlines()
    rng = np.random.default_rng(derive_seed(config.seed, "annotation_sync", name))
    count = min(config.items_per_set, len(pixels))
    items = sorted(rng.choice(len(pixels), size=count, replace=False).tolist())
    return [Task(name, i, np.array(pixels[i]), json.loads(lines[i])["category"]) for i in items]


def make_source(config: Config) -> AnnotationSource:
    """The source of judgements that the configuration names."""
    if config.source == "simulated":
        from labeling.simulated import SimulatedAnnotator

        seed = derive_seed(config.seed, "simulated annotator")
        return SimulatedAnnotator(seed, config.label_noise, config.recognition)
    from labeling.label_studio import connect

    return connect(config.project)


def _check_enough(
    config: Config, name: str, tasks: Sequence[Task], annotations: Sequence[Annotation]
) -> None:
    """Refuses to go on with too few judgements of a set."""
    offered = sum(task.set == name for task in tasks)
    judged = len({a.item for a in annotations if a.set == name})
    needed = min(config.minimum_annotations, offered)
    if judged < needed:
        raise UserError(
            f"Only {judged} of {offered} images of the set '{name}' have been judged, {needed} are "
            f"needed: judge more in Label Studio project '{config.project}' and start again, or "
            "lower annotation_sync.minimum_annotations."
        )
