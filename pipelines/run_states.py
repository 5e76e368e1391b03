"""How far a run on Kubeflow Pipelines is: what its service tells of nodes, by stage.

The service lists the nodes of the workflow that Argo makes of a pipeline, by the names that these
show. A task is three of them: `NAME-driver`, a pod that decides whether it runs; `NAME`, which
encloses the work and has its state; within that `executor`, or `executor(0)` and so on where it is
tried again. A task of a loop is there once for each part, under the same name. Loops, conditions
and the pipeline itself are nodes too.
"""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from pipelines.recipe import TASKS


def states_by_task(nodes: Iterable[Any]) -> dict[str, str]:
    """The state of each task in words, of a loop's as counts: "7 running, 1 succeeded".

    nodes: `task_details` of a run, as Kubeflow's client gives them.
    """
    found: dict[str, Counter[str]] = {}
    for node in nodes:
        name = str(node.display_name).replace("-", "_")
        if re.sub(r"_\d+$", "", name) in TASKS:  # a second branch has a stage again
            state = str(node.state or "PENDING").lower()
            found.setdefault(name, Counter())[state] += 1
    return {name: _in_words(states) for name, states in found.items()}


def _in_words(states: Counter[str]) -> str:
    if states.total() == 1:
        return next(iter(states))
    return ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
