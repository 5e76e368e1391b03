"""An index on graphics cards, where faiss-gpu is installed and the cards can do what is asked.

They find the same neighbours as the processor, up to the order of equal ones and, for product
codes, the rounding of lookup tables that are kept in half precision (those of 96 sub-vectors would
not fit a card's shared memory otherwise); the exact scores are computed afterwards in any case.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LIMIT = 2048
"""Neighbours that a card sorts out at once, and lists that it looks at."""


class Cards:
    """faiss: the module; index: the one on the processor, which is copied at the first search that
    the cards can do; halved: whether its tables may be of half precision."""

    def __init__(self, faiss: Any, index: Any, *, halved: bool) -> None:
        self.faiss, self.index, self.halved = faiss, index, halved
        self.usable = hasattr(faiss, "index_cpu_to_all_gpus") and faiss.get_num_gpus() > 0
        self._copy: Any = None

    def search(
        self, queries: NDArray[np.float32], wanted: int, probes: int
    ) -> tuple[Any, Any] | None:
        """(scores, items), or None where the processor has to search.

        probes: lists to look at, 0 for an index without lists.
        """
        if not self.usable or max(wanted, probes) > LIMIT:
            return None
        try:
            if self._copy is None:
                self._copy = self.faiss.index_cpu_to_all_gpus(self.index, self._options())
            if probes:
                # Shards of several cards take no parameters with a search.
                self.faiss.GpuParameterSpace().set_index_parameter(self._copy, "nprobe", probes)
            scores, items = self._copy.search(queries, wanted)
        except RuntimeError as error:
            self.usable, self._copy = False, None
            reason = str(error).strip().splitlines()[-1]
            print(
                f"photo_retrieval: the GPU refuses ({reason}); the search goes on with the "
                "processor, slower",
                flush=True,
            )
            return None
        return scores, items

    def _options(self) -> Any:
        options = self.faiss.GpuMultipleClonerOptions()
        options.shard = True
        options.useFloat16 = self.halved
        # A graph finds the nearest of very many lists, which cards cannot search.
        options.allowCpuCoarseQuantizer = True
        return options
