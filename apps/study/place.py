"""Where a study lives on this machine: its database, its media, the key that signs tokens."""

from __future__ import annotations

import os
import secrets
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from apps.study.database import Database
from components.core.errors import UserError

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
        if not file.exists():
            self._make_key(file)
        key = file.read_text().strip()
        if not key:
            raise UserError(f"{file} is empty: remove it, and a new key is made.")
        return key

    def _make_key(self, file: Path) -> None:
        """Appears whole; of several servers that start together one wins."""
        descriptor, name = tempfile.mkstemp(dir=self.folder)  # readable for its owner alone
        try:
            with os.fdopen(descriptor, "w") as stream:
                stream.write(secrets.token_urlsafe(32))
                stream.flush()
                os.fsync(stream.fileno())
            with suppress(FileExistsError):
                os.link(name, file)
        finally:
            Path(name).unlink()


def owner_token() -> str:
    """Who knows it may see results; "" when there is no such page."""
    return os.environ.get(OWNER, "")
