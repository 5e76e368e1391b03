"""An MLflow store of a test's own, of which nothing is left afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import mlflow

VARIABLE = "MLFLOW_TRACKING_URI"


@contextmanager
def tracking(address: str) -> Iterator[None]:
    """MLflow uses `address`; afterwards the environment alone decides again.

    `mlflow.set_tracking_uri` with the address of before would not do: it outranks the environment
    from then on and is passed on to every process, so later tests would share one store.
    """
    before = os.environ.get(VARIABLE)
    mlflow.set_tracking_uri(address)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]
        if before is not None:
            os.environ[VARIABLE] = before
