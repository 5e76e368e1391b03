"""Where a study lives on this machine: its database, its media, the key that signs tokens."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from apps.study.database import Database

KEY = "REALMAT_SECRET_KEY"
OWNER = "REALMAT_OWNER_TOKEN"
DATABASE = "REALMAT_STUDY_DATABASE"


@dataclass(frozen=True)
class Place:
    """A folder with media and, unless another address is given, the database."""

    folder: Path
    url: str = ""

    @property
    def media(self) -> Path:
        """The folder of the media."""
        return self.folder / "media"

    def database(self) -> Database:
        """The database, opened and migrated."""
        url = self.url or os.environ.get(DATABASE, "")
        return Database.open(url or f"sqlite:///{self.folder / 'study.db'}")

    def key(self) -> str:
        """The key from the environment, or one made at the first start and kept with the data.

        Servers that share a database must share the key.
        """
        given = os.environ.get(KEY, "")
        if given:
            return given
        file = self.folder / "secret.key"
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return file.read_text().strip()
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_urlsafe(32))
        return file.read_text().strip()


def owner_token() -> str:
    """Who knows it may see results; "" when there is no such page."""
    return os.environ.get(OWNER, "")
