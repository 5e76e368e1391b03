"""What a tracking server that does not answer, or refuses, means to the person who runs a stage."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from components.core.errors import UserError

_REFUSED = ("UNAUTHENTICATED", "PERMISSION_DENIED", "CUSTOMER_UNAUTHORIZED")


@contextmanager
def tracking_errors() -> Iterator[None]:
    """Turns a tracking server's absence or refusal into one sentence; other errors pass."""
    try:
        yield
    except Exception as error:
        known = explained(error)
        if known is None or isinstance(error, UserError):
            raise
        raise known from error


def explained(error: BaseException) -> UserError | None:
    """The sentence for an error that stems from the tracking server, else None.

    MLflow's client waits minutes for a server that is gone before it raises.
    """
    import requests
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import OperationalError

    server = os.environ.get("MLFLOW_TRACKING_URI", "")
    for cause in _causes(error):
        if not isinstance(cause, MlflowException):
            continue
        if cause.error_code in _REFUSED:
            return UserError(
                f"MLflow at {_public(server)} refuses: check MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD, and what that user may do."
            )
        deeper = (requests.ConnectionError, requests.Timeout, OperationalError)
        gone = any(isinstance(inner, deeper) for inner in _causes(cause))
        if gone or cause.error_code == "TEMPORARILY_UNAVAILABLE":
            return UserError(
                f"MLflow at {_public(server)} does not answer: start it and run the same command "
                "again, which continues where it was."
            )
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _public(uri: str) -> str:
    """An address without the name and password that it may hold."""
    scheme, mark, rest = uri.partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"
