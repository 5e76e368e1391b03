"""The votes of a study, from what `realmat study results NAME --json` prints."""

from __future__ import annotations

from components.core.errors import UserError
from components.core.platform.storage import local_path
from components.core.study_results import read_results
from components.promotion_gate.gate import Votes


def read_votes(uri: str, after: str, before: str) -> Votes:
    """Counts of the two methods and people's interval, flagged participants left out.

    UserError where the file does not have them.
    """
    told = f"promotion_gate.votes: {uri}"
    found = read_results(local_path(uri), told)
    if found.votes == 0:
        return Votes(0, 0)
    known = {one.name for one in found.shares}
    if not {after, before} <= known:
        raise UserError(
            f"{told}: the study compares {', '.join(sorted(known))}, not '{after}' and '{before}': "
            "name the study's methods with promotion_gate.votes_after and votes_before."
        )
    if (after, before) in found.wins:
        own = found.wins[after, before]
        return Votes(*own.votes, found.votes, own.interval)
    if (before, after) in found.wins:
        own = found.wins[before, after]
        interval = own.interval and (1 - own.interval[1], 1 - own.interval[0])
        return Votes(*own.votes[::-1], found.votes, interval)
    raise UserError(
        f"{told}: these results do not say how often '{after}' won over '{before}': print them "
        "again with `realmat study results NAME --json`."
    )
