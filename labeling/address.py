"""The address of a labelling project, as `--labels` takes it.

    label-studio://HOST[:PORT]/PROJECT[?images=WHERE]

WHERE says how images reach the browser: `inline` (inside the tasks, the default, needs nothing),
`local:FOLDER` (files on the server's machine) or `s3://BUCKET/PREFIX` (presigned addresses).
The connection is encrypted unless the host is this machine; `label-studio+http://` says otherwise,
for a server inside a cluster. Keys never stand in an address.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, quote, unquote, urlsplit

from components.core.errors import UserError

PROJECT = "RealMat realism"
HERE = ("localhost", "127.0.0.1", "::1")
FORM = "label-studio://HOST[:PORT]/PROJECT[?images=inline|local:FOLDER|s3://BUCKET/PREFIX]"


@dataclass(frozen=True)
class Address:
    """A project (by its title) on a server (http address), and where its images lie."""

    server: str
    project: str = PROJECT
    images: str = "inline"

    def __str__(self) -> str:
        scheme, _, host = self.server.partition("://")
        plain = scheme == "http" and urlsplit(self.server).hostname not in HERE
        images = "" if self.images == "inline" else f"?images={self.images}"
        return f"label-studio{'+http' if plain else ''}://{host}/{quote(self.project)}{images}"


def parse(uri: str) -> Address:
    """The address that a URI of the form above says; UserError if it is none."""
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UserError(f"--labels {uri} is no address ({error}): write {FORM}.") from error
    if parts.scheme not in ("label-studio", "label-studio+http", "label-studio+https") or not host:
        raise UserError(f"--labels {uri} is not of the form {FORM}: write it so.")
    if parts.username or parts.password:
        raise UserError(
            "--labels holds a user or a key, which would end up in logs: put the key into "
            "LABEL_STUDIO_API_KEY or a file named by LABEL_STUDIO_API_KEY_FILE."
        )
    options = parse_qs(parts.query, keep_blank_values=True)
    for name in options:
        if name != "images":
            raise UserError(f"--labels {uri}: there is no option '{name}': write {FORM}.")
    scheme = parts.scheme.partition("+")[2] or ("http" if host in HERE else "https")
    bracketed = f"[{host}]" if ":" in host else host
    return Address(
        server=f"{scheme}://{bracketed}{f':{port}' if port else ''}",
        project=unquote(parts.path.strip("/")) or PROJECT,
        images=options.get("images", ["inline"])[0],
    )
