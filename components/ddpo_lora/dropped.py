"""When so many samples have no reward that the run ends: one sentence, wherever it is found."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from components.core.errors import UserError


def check_dropped(
    rewards_n: npt.NDArray[np.float64], limit: float, failures: Sequence[str], samples: str
) -> None:
    """UserError if more than the share `limit` of a round's rewards (N,) are not finite.

    failures: why renderings failed; samples: what the sentence calls them.
    """
    dropped = int((~np.isfinite(rewards_n)).sum())
    if dropped > limit * len(rewards_n):
        reason = failures[-1] if failures else "their scores are not finite"
        raise too_many_dropped(dropped, f"{len(rewards_n)} {samples}", reason)


def too_many_dropped(dropped: int, whole: str, reason: str) -> UserError:
    """What to say of it."""
    return UserError(
        f"{dropped} of {whole} have no reward ({reason}); mend this and start again to "
        "continue, or raise ddpo_lora.max_dropped"
    )
