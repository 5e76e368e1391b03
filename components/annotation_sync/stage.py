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
from numpy.typing import NDArray

from components.annotation_sync.config import Config
from components.annotation_sync.doubt import Doubt
from components.annotation_sync.estimate import random_shares
from components.annotation_sync.figures import annotators, judgements_by_category
from components.annotation_sync.waiting import Clock, wait_for_judgements
from components.core.platform.artifacts import new_artifact, open_artifact
from components.core.platform.device import choose_device
from components.core.platform.seeds import derive_seed
from components.core.platform.tracking import Tracker
from components.core.realism.clip import ClipFeatures
from labeling.agreement import Said, agreement
from labeling.annotations import SETS, Annotation, AnnotationSource, Judgements, SetName, Task
from labeling.order import random_share
from labeling.simulated import SimulatedAnnotator

KIND = "annotations"
FOLDERS = {
    SETS[0]: ("photographs", "images.npy"),
    SETS[1]: ("generated-materials", "renderings.npy"),
}


def run(
    config: Config,
    *,
    photographs: Path,
    generated: Path,
    labels: str,
    output: Path,
    work: Path,
    tracker: Tracker,
) -> None:
    """Write the artifact "annotations"; see the module.

    labels: address of a labelling project (labeling/address.py); "" is what the settings say.
    """
    tasks = all_tasks(config, photographs, generated)
    source, doubt = make_source(config, labels, work), make_doubt(config, tasks)
    write(config, tasks, source, doubt, Clock(), output=output, tracker=tracker)


def write(
    config: Config,
    tasks: Sequence[Task],
    source: AnnotationSource,
    doubt: Doubt,
    clock: Clock,
    *,
    output: Path,
    tracker: Tracker,
) -> None:
    """Push the tasks, wait until enough of them are judged, and write the judgements."""
    new = source.push(tasks)

    def reorder(judged: Sequence[Annotation]) -> None:
        source.order(tasks, doubt.scores(judged).tolist(), f"after {len(judged)} judgements")

    found = wait_for_judgements(config, tasks, source, reorder, tracker, clock)
    with new_artifact(output, KIND, "annotation_sync", config) as folder:
        for name, rows in (("annotations", found.annotations), ("skipped", found.skipped)):
            lines = "".join(json.dumps(row.row()) + "\n" for row in rows)
            (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
        agreed = agreement(
            (Said((a.set, a.item), a.annotator, a.label) for a in found.annotations),
            config.agreement_threshold,
        )
        (folder / "agreement.json").write_text(json.dumps(agreed.row(), indent=2) + "\n")
    tracker.log_metrics({"tasks": len(tasks), "new_tasks": new, **_counts(found)})
    for name, share in random_shares(found.annotations).items():
        tracker.log_metrics(share.metrics(name))
    if agreed.alpha is not None:
        tracker.log_metrics({"alpha": agreed.alpha, "shared": agreed.shared})
    tracker.log_dict(agreed.row(), "agreement.json")
    tracker.log_figure(judgements_by_category(tasks, found.annotations), "judgements.png")
    if any(person.shared for person in agreed.annotators):
        tracker.log_figure(annotators(agreed, config.agreement_threshold), "annotators.png")
    for person in agreed.annotators:
        if person.flagged:
            print(
                f"annotation_sync: {person.annotator} agrees with others on only "
                f"{person.agreement:.0%} of {person.shared} shared images; look at the judgements, "
                "and leave them out with annotation_sync.excluded_annotators if they are careless",
                flush=True,
            )


def all_tasks(config: Config, photographs: Path, generated: Path) -> list[Task]:
    """The tasks of both sets; the folders are the artifacts of the stages before."""
    return [
        task
        for name, given in zip(SETS, (photographs, generated), strict=True)
        for task in choose_tasks(
            name, open_artifact(given, FOLDERS[name][0]), FOLDERS[name][1], config
        )
    ]


def choose_tasks(name: SetName, folder: Path, images: str, config: Config) -> list[Task]:
    """At most `items_per_set` random images of a set, in the order of the set."""
    pixels = np.load(folder / images, mmap_mode="r", allow_pickle=False)
    lines = (folder / "index.jsonl").read_text(encoding="utf-8").splitlines()
    rng = np.random.default_rng(derive_seed(config.seed, "annotation_sync", name))
    count = min(config.items_per_set, len(pixels))
    items = sorted(rng.choice(len(pixels), size=count, replace=False).tolist())
    categories = [str(json.loads(lines[i])["category"]) for i in items]
    random = random_share(categories, config.random_share, rng)
    return [
        Task(name, item, np.array(pixels[item]), category, bool(drawn))
        for item, category, drawn in zip(items, categories, random, strict=True)
    ]


def make_doubt(config: Config, tasks: Sequence[Task]) -> Doubt:
    """What orders the tasks, with CLIP's features."""

    def encode(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        clip = ClipFeatures.load(config.clip, device=choose_device(config.device))
        return clip.images(images)

    return Doubt(config, tasks, encode)


def make_source(config: Config, labels: str, work: Path) -> AnnotationSource:
    """The source of judgements that the address names, or else the configuration.

    What people have judged is kept in `work`.
    """
    if not labels and config.source == "simulated":
        return simulated_annotator(config)
    from labeling.address import parse
    from labeling.label_studio import connect, default_address
    from labeling.memory import Remembering

    address = parse(labels) if labels else default_address(config.project)
    print(f"annotation_sync: people judge at {address.server}, project '{address.project}'")
    source = connect(address, overlap=config.overlap)
    return Remembering(source, work / "judgements.jsonl", source.origin)


def simulated_annotator(config: Config) -> SimulatedAnnotator:
    """The rule that judges in runs of these settings when no people do."""
    seed = derive_seed(config.seed, "simulated annotator")
    return SimulatedAnnotator(seed, config.label_noise, config.recognition)


def _counts(found: Judgements) -> dict[str, float]:
    """How many judgements there are, of which labels."""
    labels = Counter(f"{a.set}_{a.label.replace(' ', '_')}" for a in found.annotations)
    labels = Counter({name.replace("'", ""): number for name, number in labels.items()})
    people = {a.annotator for a in found.annotations}
    return {
        "annotations": len(found.annotations),
        "skipped": len(found.skipped),
        "annotators": len(people),
        **labels,
    }
