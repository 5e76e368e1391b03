"""Makes MLflow's users that the Secrets name, with their passwords; run again, it changes nothing.

Every user may read; who creates something may change it. So the pipeline writes what is its own,
and the app reads.
"""

import os
import sys
from collections.abc import Mapping

import requests

USERS = ("PIPELINE", "APP")
SECONDS = 60


def make(base: str, admin: tuple[str, str], user: tuple[str, str]) -> str:
    """Make a user, or give it the Secret's password; says what was done ("" for nothing)."""
    address = f"{base}/api/2.0/mlflow/users"
    name = {"username": user[0]}
    body = {**name, "password": user[1]}
    found = requests.get(f"{address}/get", params=name, auth=admin, timeout=SECONDS)
    if found.status_code == 404:
        requests.post(
            f"{address}/create", json=body, auth=admin, timeout=SECONDS
        ).raise_for_status()
        return "made"
    found.raise_for_status()
    own = requests.get(f"{address}/get", params=name, auth=user, timeout=SECONDS)
    if own.status_code != 401:
        own.raise_for_status()
        return ""
    requests.patch(
        f"{address}/update-password", json=body, auth=admin, timeout=SECONDS
    ).raise_for_status()
    return "new password"


def main(environment: Mapping[str, str]) -> int:
    """Make all users of the environment."""
    base = environment["MLFLOW_TRACKING_URI"]
    admin = (environment["MLFLOW_AUTH_ADMIN_USERNAME"], environment["MLFLOW_AUTH_ADMIN_PASSWORD"])
    for whose in USERS:
        user = (environment[f"{whose}_USERNAME"], environment[f"{whose}_PASSWORD"])
        try:
            done = make(base, admin, user)
        except requests.RequestException as error:
            print(f"MLflow at {base} does not make the user {user[0]}: {error}", file=sys.stderr)
            return 1
        if done:
            print(f"{done}: {user[0]}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
