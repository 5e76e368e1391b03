"""Starts MLflow's server with its login, or brings its tables up to date (`start.py migrate`).

The login's settings are a file, and the file names the database with its password. So it is written
here, from the Secret's address, into a folder in memory, instead of being one more Secret.
"""

import configparser
import os
import sys
from collections.abc import Mapping
from pathlib import Path


def write_login(folder: Path, environment: Mapping[str, str]) -> Path:
    """Write basic_auth.ini, readable by its owner alone; users lie in the tracking database."""
    settings = configparser.ConfigParser(interpolation=None)
    settings["mlflow"] = {
        # MLflow reads the file with interpolation, where a lone % would be an error.
        "database_uri": environment["MLFLOW_BACKEND_STORE_URI"].replace("%", "%%"),
        "default_permission": environment.get("MLFLOW_DEFAULT_PERMISSION", "READ"),
        "authorization_function": "mlflow.server.auth:authenticate_request_basic_auth",
    }
    file = folder / "basic_auth.ini"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        settings.write(out)
    return file


def migrate(address: str) -> None:
    """Bring the tables of the address up to date; does nothing where they are."""
    from mlflow.db import commands

    # Called, not started: a command line is everybody's to read.
    commands(["upgrade", address], standalone_mode=False)


def main() -> None:
    """Replace this process by the server."""
    if sys.argv[1:] == ["migrate"]:
        migrate(os.environ["MLFLOW_BACKEND_STORE_URI"])
        return
    folder = Path(os.environ.get("MLFLOW_RUN_FOLDER", "/run/mlflow"))
    os.environ["MLFLOW_AUTH_CONFIG_PATH"] = str(write_login(folder, os.environ))
    server = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth"]
    os.execv(sys.executable, server)  # noqa: S606 - constants, and no shell is wanted


if __name__ == "__main__":
    main()
