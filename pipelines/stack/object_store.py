"""The stack's S3 server: moto, with the keys and policies that the buckets of a cluster have.

    python -m pipelines.stack.object_store PORT SECRETS.json

Told to, moto checks the signature in a request's header, and the policies of the user whose key
made it; the policies are those of manifests/examples/s3-policies.json. It checks no presigned
address: `Guard` does, and gives moto the same request signed anew by the address's owner. Whatever
carries no signature is refused. Of moto's services S3 alone is served, without its own interface,
which could switch all of this off. Objects lie in memory.
"""

from __future__ import annotations

import hmac
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from pipelines.stack.addresses import MANIFESTS
from pipelines.stack.secrets import Secrets

POLICIES = MANIFESTS.parent / "examples" / "s3-policies.json"
ALGORITHM = "AWS4-HMAC-SHA256"
TIME = "%Y%m%dT%H%M%SZ"
OF_THE_SIGNATURE = tuple(
    f"X-Amz-{name}" for name in ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders")
)

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class Refused(Exception):
    """S3's code and words for a request that is not let in."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(words)
        self.code = code


class Guard:
    """A WSGI application that lets signed requests alone through to moto's. keys: secret by ID."""

    def __init__(
        self, application: Application, keys: Mapping[str, str],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:  # fmt: skip
        self.application, self.keys, self.now = application, keys, now

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request."""
        try:
            self._let_in(environ)
        except Refused as refusal:
            body = f"<Error><Code>{refusal.code}</Code><Message>{refusal}</Message></Error>"
            start_response("403 Forbidden", [("Content-Type", "application/xml")])
            return [body.encode()]
        return self.application(environ, start_response)

    def _let_in(self, environ: Environ) -> None:
        signed = environ.get("HTTP_AUTHORIZATION", "")
        asked = {name: words[0] for name, words in parse_qs(environ["QUERY_STRING"]).items()}
        if not signed and "X-Amz-Signature" in asked:
            self._sign_anew(environ, asked)
        elif not (signed.startswith(f"{ALGORITHM} Credential=") and "/s3/aws4_request" in signed):
            raise Refused("AccessDenied", "a request must be signed for S3 (version 4)")

    def _sign_anew(self, environ: Environ, asked: Mapping[str, str]) -> None:
        """Check a presigned address; put its signature into a header, which moto understands."""
        try:
            key, _, region, service, _ = asked["X-Amz-Credential"].split("/")
            made = datetime.strptime(asked["X-Amz-Date"], TIME).replace(tzinfo=UTC)
            ends = made + timedelta(seconds=int(asked["X-Amz-Expires"]))
            names = asked["X-Amz-SignedHeaders"].split(";")
            headers = {name: environ[f"HTTP_{name.upper().replace('-', '_')}"] for name in names}
        except (KeyError, ValueError, OverflowError):
            raise Refused("AuthorizationQueryParametersError", "not a presigned address") from None
        if key not in self.keys or service != "s3":
            raise Refused("InvalidAccessKeyId", "the key is not known")
        owner = Credentials(key, self.keys[key])
        path, _, query = environ["RAW_URI"].partition("?")
        pairs = [pair for pair in query.split("&") if not pair.startswith("X-Amz-Signature=")]
        request = AWSRequest(environ["REQUEST_METHOD"], f"{path}?{'&'.join(pairs)}", headers)
        right = _signature(S3SigV4QueryAuth(owner, "s3", region), request, asked["X-Amz-Date"])
        if not hmac.compare_digest(right, asked["X-Amz-Signature"]):
            raise Refused("SignatureDoesNotMatch", "the signature is not the one of this request")
        if self.now() > ends:
            raise Refused("AccessDenied", "Request has expired")
        rest = "&".join(pair for pair in pairs if pair.partition("=")[0] not in OF_THE_SIGNATURE)
        self._with_header(environ, f"{path}?{rest}" if rest else path, owner, region)

    def _with_header(self, environ: Environ, address: str, owner: Credentials, region: str) -> None:
        moment = self.now().strftime(TIME)
        headers = {
            "host": environ["HTTP_HOST"], "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
            "x-amz-date": moment,
        }  # fmt: skip
        request = AWSRequest(environ["REQUEST_METHOD"], address, headers)
        signature = _signature(S3SigV4Auth(owner, "s3", region), request, moment)
        environ |= {
            "RAW_URI": address, "REQUEST_URI": address,
            "QUERY_STRING": address.partition("?")[2],
            "HTTP_X_AMZ_CONTENT_SHA256": "UNSIGNED-PAYLOAD", "HTTP_X_AMZ_DATE": moment,
            "HTTP_AUTHORIZATION": f"{ALGORITHM} "
            f"Credential={owner.access_key}/{moment[:8]}/{region}/s3/aws4_request, "
            f"SignedHeaders={';'.join(headers)}, Signature={signature}",
        }  # fmt: skip


def _signature(auth: SigV4Auth, request: AWSRequest, moment: str) -> str:
    request.context["timestamp"] = moment
    return str(
        auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    )


def guarded(secrets: Secrets) -> Guard:
    """moto's S3 behind its guard, with a user in moto's IAM for each key of the Secrets.

    moto looks at the policies only within its `enable_iam_authentication`.
    """
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.iam.models import iam_backends
    from moto.server import create_backend_app

    users = iam_backends[DEFAULT_ACCOUNT_ID]["aws"]
    keys: dict[str, str] = {}
    for name, policy in json.loads(POLICIES.read_text(encoding="utf-8")).items():
        secret, _, key = name.partition("/")
        if secret not in secrets:
            continue  # the backup's, which runs on a cluster alone
        identity = secrets[secret][key]
        keys[identity] = secrets[secret][key.replace("ACCESS_KEY_ID", "SECRET_ACCESS_KEY")]
        if identity not in users.users:  # two Secrets may hold the same key
            users.create_user("us-east-1", identity)
            made = users.create_access_key(identity)
            made.access_key_id, made.secret_access_key = identity, keys[identity]
        users.put_user_policy(identity, name.replace("/", "."), _as_moto_reads(policy))
    return Guard(create_backend_app("s3"), keys)


def _as_moto_reads(policy: Mapping[str, Any]) -> str:
    """With moto's own name for asking whether a bucket is there, which S3 lets its listers do."""
    statements = [
        {**one, "Action": [*one["Action"], "s3:HeadBucket"]}
        if "s3:ListBucket" in one["Action"]
        else one
        for one in policy["Statement"]
    ]
    return json.dumps({**policy, "Statement": statements})


def main() -> None:
    """Serve until ended."""
    from moto.core.authorization import enable_iam_authentication
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Nothing: presigned addresses belong in no log."""

    port, file = int(sys.argv[1]), Path(sys.argv[2])
    application = guarded(json.loads(file.read_text()))
    with enable_iam_authentication():
        make_server(
            "127.0.0.1", port, application, threaded=True, request_handler=Quiet
        ).serve_forever()


if __name__ == "__main__":
    main()
