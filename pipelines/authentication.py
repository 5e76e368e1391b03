"""Who we are to Kubeflow Pipelines: nobody, a token in a file, or a client of an OIDC provider.

Secrets come from a file or the environment, never from the command line, which everybody on the
machine can read.
"""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from components.core.errors import UserError

OIDC_SECRET = "REALMAT_OIDC_CLIENT_SECRET"  # noqa: S105 - the name of a variable
MARGIN = 60.0  # seconds before its end in which a token is renewed


class Credentials(BaseModel, frozen=True):
    """How to sign in; all empty is without."""

    token_file: str = ""
    oidc_issuer: str = ""
    oidc_client: str = ""


def token_source(
    given: Credentials, environment: Mapping[str, str] = os.environ
) -> Callable[[], str] | None:
    """A function that returns a valid token each time, or None for no sign-in."""
    if given.token_file and given.oidc_issuer:
        raise UserError("--token-file and --oidc-issuer exclude each other: give one of them.")
    if given.token_file:
        file = Path(given.token_file)
        _read(file)  # what is wrong with it is said before anything starts
        return lambda: _read(file)  # a projected token is renewed in its file
    if not given.oidc_issuer:
        return None
    secret = environment.get(OIDC_SECRET, "")
    if not given.oidc_client or not secret:
        raise UserError(
            f"--oidc-issuer needs --oidc-client-id and the client's secret in {OIDC_SECRET}."
        )
    return ClientCredentials(given.oidc_issuer, given.oidc_client, secret)


class ClientCredentials:
    """Access tokens by OAuth 2's client credentials grant (RFC 6749, 4.4), renewed in time."""

    def __init__(self, issuer: str, client: str, secret: str) -> None:
        self.issuer = issuer.rstrip("/")
        self.client = client
        self._secret = secret
        self._token = ""
        self._ends = 0.0

    def __call__(self) -> str:
        """A token that is valid for a minute at least."""
        if time.time() >= self._ends - MARGIN:
            answer = self._fetch()
            self._token = str(answer["access_token"])
            self._ends = time.time() + float(answer.get("expires_in", 300))
        return self._token

    def _fetch(self) -> dict[str, Any]:
        import requests
        from oauthlib.oauth2 import BackendApplicationClient, OAuth2Error
        from requests_oauthlib import OAuth2Session

        try:
            found = requests.get(f"{self.issuer}/.well-known/openid-configuration", timeout=30)
            found.raise_for_status()
            session = OAuth2Session(client=BackendApplicationClient(self.client))
            return dict(
                session.fetch_token(
                    found.json()["token_endpoint"], client_secret=self._secret, timeout=30
                )
            )
        except OAuth2Error as error:
            raise UserError(
                f"{self.issuer} refuses the client {self.client} ({error.error}): check its id and "
                f"{OIDC_SECRET}."
            ) from error
        except (requests.RequestException, ValueError, KeyError) as error:
            raise UserError(
                f"{self.issuer} is no OIDC provider that answers ({type(error).__name__}): check "
                "--oidc-issuer."
            ) from error


def _read(file: Path) -> str:
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--token-file {file} cannot be read: give a file with a token.") from error
    if not token:
        raise UserError(f"--token-file {file} is empty: give a file with a token.")
    return token
