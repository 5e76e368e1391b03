"""Which version was champion when, and the way back.

MLflow's registry knows only who holds an alias now, so each promotion leaves a tag on its version.
A version that was taken back carries another, and the gate does not promote it again by itself:
the next run of an unchanged pipeline would otherwise undo what a person decided. A version that
only made room for a later one is as good as before, and the way back may lead to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from components.core.errors import UserError
from components.core.platform.aliases import CANDIDATE, CHAMPION

PROMOTED = "promoted"
"""Tag: when the version became champion by the gate (ISO 8601, UTC)."""
WITHDRAWN = "withdrawn"
"""Tag: when a person took the version back."""
COMPANION = "reward"
"""Tag: "name/version" of the reward that the version was trained on; its alias follows."""


@dataclass(frozen=True)
class Promotion:
    """A version that is or was champion."""

    version: str
    promoted: str
    withdrawn: str
    champion: bool


def promote(client: MlflowClient, name: str, version: str, alias: str) -> str:
    """Point the alias at a version, with a note of when; returns the alias it is now known by.

    The gate only promotes: a version that is the champion stays it, one that a person took back
    stays a candidate.
    """
    known = client.get_model_version(name, version)
    if CHAMPION in known.aliases:
        if PROMOTED not in known.tags:
            client.set_model_version_tag(name, version, PROMOTED, _now())
        return CHAMPION
    if alias == CHAMPION and WITHDRAWN in known.tags:
        print(
            f"registration: {name} version {version} was taken back on {known.tags[WITHDRAWN]}: "
            f"it stays a {CANDIDATE}; `realmat rollback --to {version}` makes it champion again",
            flush=True,
        )
        alias = CANDIDATE
    # First the note: should this be cut off, the next run finds no champion without one.
    if alias == CHAMPION:
        client.set_model_version_tag(name, version, PROMOTED, _now())
    client.set_registered_model_alias(name, alias, version)
    return alias


def promotions(client: MlflowClient, name: str) -> list[Promotion]:
    """The versions that are or were champion, the latest promotion first."""
    champion = _champion(client, name)
    found = [
        Promotion(
            str(one.version), one.tags[PROMOTED], one.tags.get(WITHDRAWN, ""),
            str(one.version) == champion,
        )
        for one in client.search_model_versions(f"name = '{name}'")
        if PROMOTED in one.tags
    ]  # fmt: skip
    return sorted(found, key=lambda one: (one.promoted, int(one.version)), reverse=True)


def rollback(client: MlflowClient, name: str, to: str = "") -> tuple[str, str]:
    """Make an earlier champion the champion again, its reward with it.

    Args:
        to: its version, which may be a later one that was taken back; "" is the last that was
            promoted before the present champion and not taken back.

    Returns:
        (version that was champion, version that is).

    Raises:
        UserError: there is no such version, or it never passed the gate.
    """
    known = promotions(client, name)
    present = _champion(client, name)
    target = to or _before(known, present, name)
    if target not in {one.version for one in known}:
        passed = ", ".join(one.version for one in known) or "none"
        raise UserError(
            f"Version {target} of {name} never passed the gate: choose one that did ({passed})."
        )
    if target == present:
        raise UserError(f"Version {target} of {name} is the champion already: nothing to do.")
    if not _earlier(known, present, target):
        # The present one is marked first: should this be cut off, no run promotes it again.
        client.set_model_version_tag(name, present, WITHDRAWN, _now())
    known_target = client.get_model_version(name, target)
    if WITHDRAWN in known_target.tags:
        client.delete_model_version_tag(name, target, WITHDRAWN)
    # A reward is never marked: other generators, trained on it later, may deserve the alias.
    reward, _, number = known_target.tags.get(COMPANION, "").rpartition("/")
    if reward:
        client.set_registered_model_alias(reward, CHAMPION, number)
    client.set_registered_model_alias(name, CHAMPION, target)
    return present, target


def _before(known: list[Promotion], present: str, name: str) -> str:
    for one in known:  # the latest promotion first
        if (
            one.version != present
            and not one.withdrawn
            and not _earlier(known, present, one.version)
        ):
            return one.version
    raise UserError(f"{name} has no earlier champion to go back to.")


def _earlier(known: list[Promotion], first: str, second: str) -> bool:
    """Whether one version was promoted before another; False where one never was."""
    order = {one.version: (one.promoted, int(one.version)) for one in known}
    return first in order and second in order and order[first] < order[second]


def _champion(client: MlflowClient, name: str) -> str:
    try:
        known: ModelVersion = client.get_model_version_by_alias(name, CHAMPION)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise UserError(
            f"The registry has no champion of {name}: nothing to go back from."
        ) from None
    return str(known.version)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
