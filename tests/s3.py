"""A real S3 server in this process, which a test can make refuse requests."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import boto3
import pytest
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from components.core.platform.archive import ARCHIVE


class Store:
    """Serves on a free port until `close`; `refuse` says which requests get 503."""

    def __init__(self) -> None:
        self.application = DomainDispatcherApplication(create_backend_app)
        self.refuse: Callable[[str, str], bool] = lambda method, path: False
        self.refused = 0
        self.seen: list[tuple[str, str]] = []
        self.parts: list[tuple[str, str]] = []  # path and range of what was read
        self.server = make_server("127.0.0.1", 0, self, threaded=True)
        self.port = self.server.port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()

    def __call__(self, environ: dict[str, str], start_response: Callable[..., object]) -> object:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.seen.append((method, path))
        if self.refuse(method, path):
            self.refused += 1
            start_response("503 Slow Down", [("Content-Type", "application/xml")])
            return [b"<Error><Code>SlowDown</Code><Message>later</Message></Error>"]
        if method == "GET":
            self.parts.append((path, environ.get("HTTP_RANGE", "")))
        return self.application(environ, start_response)


@contextmanager
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """An empty archive of finished artifacts, which the environment names."""
    served = Store()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{served.port}", "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "secret of the store", "AWS_DEFAULT_REGION": "us-east-1",
        ARCHIVE: "s3://realmat/artifacts/",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
    client = boto3.client("s3")
    client.create_bucket(Bucket="realmat")
    yield served
    for item in client.list_objects_v2(Bucket="realmat").get("Contents", []):
        client.delete_object(Bucket="realmat", Key=item["Key"])
    client.delete_bucket(Bucket="realmat")
    served.close()
