"""A study's results as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Json = Mapping[str, Any]
WIDEST = 48
"""Longer prompts are cut, so that lines fit a terminal."""


def text_of(results: Json) -> str:
    """A few short tables."""
    if not results["votes"]:
        return "no votes"
    lines = [
        f"{results['votes']} votes of {results['participants']} participants on "
        f"{results['trials']} trials",
        "",
        *shares_table(results["shares"]),
        "",
        f"majority of {results['majority']['trials']} trials: "
        + ", ".join(f"{name} {percent(v)}" for name, v in results["majority"]["shares"].items()),
    ]
    lines += [win_rate(row) for row in results["win_rates"] if "share" in row]
    test = results["sign_test"]
    if test:
        first, second = test["between"]
        a, b = test["votes"]
        lines.append(f"sign test: {first} {a}, {second} {b}, p = {test['p_value']:.2g}")
    ranking = results["bradley_terry"]
    if ranking:
        lines.append(f"Bradley-Terry: {', '.join(map(strength, ranking, ranking.values()))}")
    lines += checks(results)
    for key in ("category", "prompt"):
        if f"by_{key}" in results:
            lines += ["", *groups_table(f"by {key}", results[f"by_{key}"], results["shares"])]
    if "unflagged" in results:
        lines += ["", "without flagged participants:", text_of(results["unflagged"])]
    return "\n".join(lines)


def shares_table(shares: Json) -> list[str]:
    """A line for each choice, with its intervals."""
    width = max(len(name) for name in shares)
    head = f"{'':{width}}   votes  share   95 %, normal    95 %, Wilson    95 %, by participant"
    lines = [head]
    for name, found in shares.items():
        intervals = (found.get(key) for key in ("ci95", "wilson95", "clustered95"))
        bounds = "  ".join(f"{interval(bounds):14s}" for bounds in intervals)
        lines.append(f"{name:{width}}  {found['count']:6d}  {percent(found['share'])}  {bounds}")
    return [line.rstrip() for line in lines]


def win_rate(found: Json) -> str:
    """Of two methods, how often the first was chosen, votes for neither left out."""
    (first, second), bounds = found["between"], found.get("clustered95")
    over = f" {interval(bounds)} by participant" if bounds else ""
    share = percent(found["share"]).strip()
    return f"{first} over {second}: {share} of {sum(found['votes'])}{over}"


def strength(name: str, found: Json) -> str:
    """A method's strength with its interval over participants."""
    bounds = found.get("clustered95")
    between = f" [{bounds[0]:.3f}, {bounds[1]:.3f}]" if bounds else ""
    return f"{name} {found['strength']:.3f}{between}"


def groups_table(title: str, groups: Json, names: Iterable[str]) -> list[str]:
    """A line for each category or prompt, with the share of each choice."""
    choices = list(names)
    width = min(WIDEST, max(len(title), *map(len, groups)))
    heads = "  ".join(f"{name:>{max(6, len(name))}}" for name in choices)
    lines = [f"{title:{width}}   votes  {heads}"]
    for group, found in groups.items():
        cells = (
            f"{percent(found['shares'][name]['share']):>{max(6, len(name))}}" for name in choices
        )
        lines.append(f"{group[:width]:{width}}  {found['votes']:6d}  {'  '.join(cells)}")
    return lines


def checks(results: Json) -> list[str]:
    """What is known about the participants' care."""
    lines = []
    alpha = results["agreement"]["krippendorff_alpha"]
    if alpha is not None:
        lines.append(
            f"agreement: Krippendorff's alpha {alpha:.3f} on {results['agreement']['trials']} "
            "trials that several judged"
        )
    if "sides" in results:
        counts = ", ".join(f"{side} {count}" for side, count in results["sides"]["counts"].items())
        p_value = results["sides"].get("p_value")
        lines.append(f"sides: {counts}" + ("" if p_value is None else f", p = {p_value:.2g}"))
    if "catch" in results:
        lines.append(
            f"catch trials passed: {percent(results['catch']['passed'])} of "
            f"{results['catch']['votes']}"
        )
    if "repeat" in results:
        lines.append(
            f"repeated trials answered alike: {percent(results['repeat']['same'])} of "
            f"{results['repeat']['votes']}"
        )
    return lines


def percent(share: float) -> str:
    """As in the paper, with one digit after the point."""
    return f"{100 * share:5.1f}%"


def interval(bounds: Any) -> str:
    """[lower, upper] in percent, "" where there is none."""
    return "" if bounds is None else f"[{100 * bounds[0]:.1f}, {100 * bounds[1]:.1f}]"
