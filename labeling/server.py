"""A Label Studio server on this machine, for `make labeling` and for the tests.

It lives in an environment of its own (its pins and ours exclude each other), made from
`labeling/requirements.lock` by `.ci/install --labeling`. Everything it keeps lies in one folder:
database, uploads, served images and `credentials.json`, readable by its owner alone. Sign-up is
closed, nothing is reported home, and cloud metadata addresses stay out of its reach.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from components.core.errors import UserError
from labeling.address import Address

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = ROOT / ".venv.labeling" / "bin" / "label-studio"
BOOT_SECONDS = 300.0
IMAGES = "images"


@dataclass(frozen=True)
class Credentials:
    """The first user of a server; token: the key of the API, 40 hexadecimal digits."""

    email: str
    password: str
    token: str
    secret_key: str


class Server:
    """A running server. `folder` keeps its data; the same folder starts it with what it had."""

    def __init__(self, folder: Path, port: int, program: Path = PROGRAM) -> None:
        if not program.exists():
            raise UserError(f"{program} is missing: run `make labeling`, which installs it.")
        self.folder, self.port, self.program = folder.resolve(), port, program
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / IMAGES).mkdir(exist_ok=True)
        self.credentials = credentials(self.folder)
        self.start()

    def address(self, project: str, images: str = "") -> Address:
        """The address of a project; its images are served from the folder unless said."""
        local = f"local:{self.folder / IMAGES}"
        return Address(f"http://127.0.0.1:{self.port}", project, images or local)

    def start(self) -> None:
        """Start the process; returns when it answers."""
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - a program of .venv.labeling
                self._command(), env=self._environment(), cwd=self.folder, stdout=log, stderr=log
            )
        deadline = time.monotonic() + BOOT_SECONDS
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise UserError(f"Label Studio did not start: see {self.folder / 'server.log'}.")
            time.sleep(0.5)

    def answers(self) -> bool:
        """Whether the server is ready."""
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/health", timeout=5).is_success
        except httpx.HTTPError:
            return False

    def stop(self) -> None:
        """End the process."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the process at once, as a power cut would."""
        self.process.kill()
        self.process.wait()

    def _command(self) -> list[str]:
        return [
            str(self.program), "start", "--no-browser", "--internal-host", "127.0.0.1",
            "--port", str(self.port), "--data-dir", str(self.folder),
            "--enable-legacy-api-token", "--log-level", "WARNING",
        ]  # fmt: skip

    def _environment(self) -> dict[str, str]:
        """Secrets go through the environment: a command line is everybody's to read."""
        known = self.credentials
        return {
            **os.environ,
            "HOME": str(self.folder),
            "SECRET_KEY": known.secret_key,
            "LABEL_STUDIO_USERNAME": known.email,
            "LABEL_STUDIO_PASSWORD": known.password,
            "LABEL_STUDIO_USER_TOKEN": known.token,
            "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
            "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
            "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(self.folder / IMAGES),
            "COLLECT_ANALYTICS": "false",
            "SENTRY_DSN": "",
            "FRONTEND_SENTRY_DSN": "",
            "LATEST_VERSION_CHECK": "false",
            # Buckets on private addresses are allowed, a cloud's metadata service is not.
            "USE_DEFAULT_BANNED_SUBNETS": "false",
            "USER_ADDITIONAL_BANNED_SUBNETS": "169.254.0.0/16",
        }


def credentials(folder: Path) -> Credentials:
    """The credentials in a server's folder, made at its first start."""
    file = folder / "credentials.json"
    if file.exists():
        return Credentials(**json.loads(file.read_text(encoding="utf-8")))
    made = Credentials(
        "annotator@example.org", secrets.token_urlsafe(12), secrets.token_hex(20),
        secrets.token_hex(32),
    )  # fmt: skip
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        json.dump(asdict(made), out, indent=2)
    key = os.open(folder / "api-key", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(key, "w", encoding="utf-8") as out:
        out.write(made.token)
    return made


def main() -> int:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description="Label Studio on this machine.")
    parser.add_argument("--data", type=Path, default=ROOT / "runs" / "labeling")
    parser.add_argument("--port", type=int, default=8080)
    given = parser.parse_args()
    print("starting Label Studio; the first start takes about a minute", flush=True)
    try:
        server = Server(given.data, given.port)
    except UserError as error:
        print(f"labeling: {error}", file=sys.stderr)
        return 2
    print(f"Log in at http://127.0.0.1:{given.port} as {server.credentials.email}; the password is")
    print(f"in {server.folder / 'credentials.json'}. To have a run wait for judgements:")
    print(f"  export LABEL_STUDIO_API_KEY_FILE={server.folder / 'api-key'}")
    print(f"  realmat run laptop --labels '{server.address('RealMat realism')}'")
    try:
        return server.process.wait()
    except KeyboardInterrupt:
        server.stop()
        return 0


if __name__ == "__main__":
    sys.exit(main())
