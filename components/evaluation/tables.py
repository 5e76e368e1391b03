"""The report's tables as CSV, for spreadsheets, and as Parquet, for plots of one's own."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from components.evaluation import paper
from components.evaluation.categories import by_category

Json = Mapping[str, Any]
Table = tuple[Sequence[str], Iterable[Sequence[object]]]


def tables(report: Json, details: Json) -> dict[str, Table]:
    """Head and rows by file name; only what the run has measured."""
    found: dict[str, Table] = {}
    pairs = details.get("pairs", [])
    if pairs:
        head = ("prompt", "category", "seed", "realism_before", "realism_after", "gold_before",
                "gold_after")  # fmt: skip
        rows = [(p["prompt"], p["category"], p["seed"], *p["scores"], *p["gold"]) for p in pairs]
        found["pairs.csv"] = head, rows
        groups = by_category(pairs)
        found["categories.csv"] = tuple(groups[0]), [tuple(row.values()) for row in groups]
    if "curves" in details:
        curves = details["curves"]
        found["epochs.csv"] = tuple(curves), zip(*curves.values(), strict=True)
    if "reward" in report:
        ours = [row.cells() for row in paper.rows(report, details) if row.ours is not None]
        found["paper.csv"] = paper.HEAD, ours
    return found


def write_tables(folder: Path, report: Json, details: Json) -> None:
    """Write each table whole into the folder, in both forms."""
    for name, (head, rows) in tables(report, details).items():
        folder.mkdir(parents=True, exist_ok=True)
        rows = [tuple(row) for row in rows]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(head)
        writer.writerows([_safe(cell) for cell in row] for row in rows)
        partial = folder / f".{name}.partial"
        partial.write_text(text.getvalue(), encoding="utf-8")
        partial.replace(folder / name)
        columns = zip(*rows, strict=True) if rows else ([] for _ in head)
        table = pa.table({key: _column(values) for key, values in zip(head, columns, strict=True)})
        partial = folder / f".{Path(name).stem}.parquet.partial"
        parquet.write_table(table, partial)
        partial.replace(folder / f"{Path(name).stem}.parquet")


def _column(values: Iterable[object]) -> pa.Array:
    """One type a column: whole and broken numbers together are broken ones."""
    known = list(values)
    if any(isinstance(value, float) for value in known):
        return pa.array([None if value is None else float(value) for value in known])  # type: ignore[arg-type]
    return pa.array(known)


def _safe(cell: object) -> object:
    """Text that a spreadsheet would run as a formula gets an apostrophe in front."""
    if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t"):
        return f"'{cell}"
    return "" if cell is None else cell
