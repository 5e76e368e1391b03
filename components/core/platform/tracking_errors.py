"""What a tracking server that does not answer, or refuses, means to the person who runs a stage."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

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


def tell(what: str, call: Callable[[], object]) -> None:
    """Tells the tracking server why something ends, where the reason matters more than the record:
    that the server is away is a line, and does not take the reason's place."""
    try:
        call()
    except Exception as error:
        print(f"tracking: not recorded that {what} ({explained(error) or error})", flush=True)


def explained(error: BaseException) -> UserError | None:
    """The sentence for an error that stems from the tracking server, else None.

    MLflow's client waits minutes for a server that is gone before it raises.
    """
    import requests
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import OperationalError

    server = os.environ.get("MLFLOW_TRACKING_URI", "")
    refuses = UserError(
        f"MLflow at {_public(server)} refuses: check MLFLOW_TRACKING_USERNAME and "
        "MLFLOW_TRACKING_PASSWORD, and what that user may do."
    )
    away = UserError(
        f"MLflow at {_public(server)} does not answer: start it and run the same command "
        "again, which continues where it was."
    )
    deeper = (requests.ConnectionError, requests.Timeout, OperationalError)
    for cause in _causes(error):
        if isinstance(cause, MlflowException):
            if cause.error_code in _REFUSED:
                return refuses
            gone = any(isinstance(inner, deeper) for inner in _causes(cause))
            if gone or cause.error_code == "TEMPORARILY_UNAVAILABLE":
                return away
        # Files are sent by plain requests.
        elif isinstance(cause, requests.RequestException) and _asked(cause, server):
            if cause.response is None or cause.response.status_code >= 500:
                return away
            if cause.response.status_code in (401, 403):
                return refuses
    return None


def _asked(error: Any, server: str) -> bool:
    """Whether a request that failed was one to the tracking server."""
    url = str(getattr(error.request, "url", "") or "")
    return server.startswith("http") and url.startswith(server.rstrip("/") + "/")


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _public(uri: str) -> str:
    """An address without the name and password that it may hold."""
    scheme, mark, rest = uri.partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"
