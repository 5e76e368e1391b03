"""The votes of a study, from what `realmat study results --json` prints."""

from __future__ import annotations

import json

from components.core.errors import UserError
from components.core.platform.storage import local_path
from components.promotion_gate.gate import Votes


def read_votes(uri: str, after: str, before: str) -> Votes:
    """Counts of the two methods; UserError where the file does not have them."""
    expected = (
        f"expected the output of `realmat study results --json` with '{after}' and '{before}'"
    )
    try:
        found = json.loads(local_path(uri).read_text("utf-8"))
        total, shares = int(found["votes"]), found.get("shares", {})
        if total == 0:
            return Votes(0, 0)
        first, second = (round(float(shares[name]["share"]) * total) for name in (after, before))
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise UserError(
            f"promotion_gate.votes: {uri}: {expected}: give that file, or name the study's methods "
            "with promotion_gate.votes_after and votes_before."
        ) from error
    return Votes(first, second, total)
