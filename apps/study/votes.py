"""Votes as a table, one row each, and reading such a table from a file."""

from __future__ import annotations

import warnings
from pathlib import Path

import pandas as pd

from components.core.errors import UserError

COLUMNS = ("study", "participant", "trial", "choice")
"""What every table has. Optional: category, prompt, side (where the chosen one was shown), kind
("plain", "catch", "repeat"), passed (of a catch trial), flagged (of the participant)."""

SIMILAR = "similar"


def read_votes(path: Path, study: str = "") -> pd.DataFrame:
    """The votes of one study in a .csv or .parquet file; UserError for what is no such table."""
    votes = _read(path)
    missing = [name for name in COLUMNS if name not in votes.columns]
    if missing:
        raise UserError(
            f"{path} has no column '{missing[0]}': expected a header {','.join(COLUMNS)}."
        )
    for name in COLUMNS:
        if votes[name].isna().any() or (votes[name].astype(str).str.strip() == "").any():
            line = int((votes[name].isna() | (votes[name].astype(str).str.strip() == "")).argmax())
            raise UserError(f"{path}: row {line + 1} has no {name}: complete or remove it.")
        votes[name] = votes[name].astype(str).str.strip()
    return one_study(votes, study, str(path))


def _read(path: Path) -> pd.DataFrame:
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        with warnings.catch_warnings():
            # A row longer than the header would lose its end, or become an index.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(
                path, dtype=dict.fromkeys(COLUMNS, str), keep_default_na=False, index_col=False
            )
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist: give a table of votes.") from error
    except (
        OSError,
        ValueError,
        pd.errors.ParserWarning,
    ) as error:  # pandas' parser errors are ValueErrors
        reason = (str(error).splitlines() or ["unreadable"])[0]
        raise UserError(f"{path} cannot be read as a table ({reason}).") from error


def one_study(votes: pd.DataFrame, study: str, source: str) -> pd.DataFrame:
    """The rows of one study; it must be named where there are several."""
    names = sorted(votes["study"].unique())
    if study:
        votes = votes[votes["study"] == study]
    elif len(names) > 1:
        raise UserError(f"{source} holds {len(names)} studies: choose one of {', '.join(names)}.")
    if votes.empty:
        known = f": it holds {', '.join(names)}" if names else ""
        raise UserError(
            f"{source} has no votes{f' of the study {study!r}' if study else ''}{known}."
        )
    twice = votes.duplicated(["participant", "trial"])
    if twice.any():
        row = votes[twice].iloc[0]
        raise UserError(
            f"{source}: participant '{row['participant']}' voted twice on trial '{row['trial']}': "
            "keep one of the two."
        )
    return votes.reset_index(drop=True)
