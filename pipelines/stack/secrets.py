"""Secrets of the stack, made at its first start under the names that the manifests use.

On a cluster they come from a vault (manifests/README.md); both have the same Secrets with the same
keys, which a test compares.
"""

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

DATABASES = ("mlflow", "label_studio", "realmat")
"""Each of the services that has one owns it as a user of the same name."""

FILE = "secrets.json"

Secrets = dict[str, dict[str, str]]
"""By the Secret's name: values by key, which is the environment variable's name."""


def make_secrets() -> Secrets:
    """New random secrets; addresses in them name the services as on a cluster."""
    admin = secrets.token_urlsafe(24)
    passwords = {name: secrets.token_hex(24) for name in (*DATABASES, "backup")}
    users = {name: secrets.token_urlsafe(24) for name in ("pipeline", "app")}
    labels = secrets.token_hex(20)
    return {
        "postgresql-secrets": {
            "POSTGRES_PASSWORD": admin,
            **{f"{name.upper()}_DATABASE_PASSWORD": word for name, word in passwords.items()},
        },
        "s3-secrets": _key_pair(),
        "mlflow-secrets": {
            **_key_pair(),
            "MLFLOW_AUTH_ADMIN_PASSWORD": secrets.token_urlsafe(24),
            "MLFLOW_AUTH_ADMIN_USERNAME": "admin",
            "MLFLOW_BACKEND_STORE_URI": _database("mlflow", passwords),
            "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_urlsafe(32),
        },
        "label-studio-secrets": {
            "LABEL_STUDIO_PASSWORD": secrets.token_urlsafe(12),
            "LABEL_STUDIO_USERNAME": "owner@example.org",
            "LABEL_STUDIO_USER_TOKEN": labels,
            "POSTGRE_HOST": "postgresql",
            "POSTGRE_NAME": "label_studio",
            "POSTGRE_PASSWORD": passwords["label_studio"],
            "POSTGRE_PORT": "5432",
            "POSTGRE_USER": "label_studio",
            "SECRET_KEY": secrets.token_urlsafe(48),
            **_key_pair("STORAGE_AWS"),
        },
        "app-secrets": {
            "MLFLOW_TRACKING_PASSWORD": users["app"],
            "MLFLOW_TRACKING_USERNAME": "app",
            "REALMAT_OWNER_TOKEN": secrets.token_urlsafe(24),
            "REALMAT_SECRET_KEY": secrets.token_urlsafe(32),
            "REALMAT_STUDY_DATABASE": _database("realmat", passwords),
        },
        "pipeline-secrets": {
            **_key_pair(),
            **_key_pair("LABEL_STUDIO_S3"),
            "LABEL_STUDIO_API_KEY": labels,
            "MLFLOW_TRACKING_PASSWORD": users["pipeline"],
            "MLFLOW_TRACKING_USERNAME": "pipeline",
        },
    }


def _key_pair(prefix: str = "AWS") -> dict[str, str]:
    """A new key of the S3 server, as the variables of a Secret."""
    return {
        f"{prefix}_ACCESS_KEY_ID": secrets.token_hex(10).upper(),
        f"{prefix}_SECRET_ACCESS_KEY": secrets.token_urlsafe(30),
    }


def _database(name: str, passwords: Mapping[str, str]) -> str:
    return f"postgresql+psycopg2://{name}:{passwords[name]}@postgresql:5432/{name}"


def keep_secrets(folder: Path) -> Secrets:
    """The secrets of a stack's folder, made when there are none; readable by their owner alone."""
    file = folder / FILE
    if not file.exists():
        write_private(file, json.dumps(make_secrets(), indent=2))
    kept: Secrets = json.loads(file.read_text(encoding="utf-8"))
    return kept


def write_private(file: Path, text: str) -> None:
    """Writes a file that only its owner can read, whole."""
    partial = file.with_name(f".{file.name}.partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    partial.rename(file)


def shell_lines(environment: Mapping[str, str]) -> str:
    """An environment as lines that a shell reads with `.`."""
    import shlex

    return "".join(
        f"export {name}={shlex.quote(value)}\n" for name, value in sorted(environment.items())
    )
