"""A stage's settings as parameters of its run, also where they were changed on the way."""

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from components.core.platform.tracking import StageTracker

SETTINGS_NOTE = "settings.json"  # file in a stage's work folder with its first attempt's settings


def log_settings(tracker: StageTracker, stage: str, config: BaseModel, work: Path) -> None:
    """Logs the settings as parameters, and as tags `resumed.NAME` those that were changed since.

    The run of a resumed stage is continued, and MLflow lets no parameter change.
    """
    settings = flat(config.model_dump(mode="json"))
    note = work / SETTINGS_NOTE
    if not note.exists():
        note.write_text(json.dumps(settings))
    first: dict[str, object] = json.loads(note.read_text())
    tracker.log_params({**settings, **first})
    for name, value in settings.items():
        if name in first and first[name] != value:
            tracker.set_tag(f"resumed.{name}", str(value))
            print(f"{stage}: {name} was {first[name]} and is {value} from here on", flush=True)


def flat(values: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Returns nested settings as `section.key` names."""
    result: dict[str, object] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            result |= flat(value, f"{prefix}{name}.")
        else:
            result[f"{prefix}{name}"] = value
    return result
