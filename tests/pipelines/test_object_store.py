"""The stack's S3 server: whose key may do what, and that nobody is let in without one."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.authorization import enable_iam_authentication
from moto.s3.models import s3_backends

from pipelines.stack.addresses import MANIFESTS
from pipelines.stack.object_store import POLICIES, guarded
from pipelines.stack.objects import make_buckets
from pipelines.stack.secrets import Secrets, make_secrets
from pipelines.stack.services import BUCKETS
from tests.s3 import Store

PART = 5 * 2**20  # the smallest part of an upload that S3 takes

KEYS = (
    "mlflow-secrets/AWS", "label-studio-secrets/STORAGE_AWS", "pipeline-secrets/AWS",
    "pipeline-secrets/LABEL_STUDIO_S3", "backup-secrets/AWS",
)  # fmt: skip
EVERY_BUCKET = (*BUCKETS, "sources")
ALL = {"list", "get", "put", "delete"}
MAY = {
    ("mlflow-secrets/AWS", "mlflow"): ALL,
    ("label-studio-secrets/STORAGE_AWS", "label-studio"): ALL,
    ("backup-secrets/AWS", "backups"): ALL,
    # Finished artifacts are never removed by the pipeline.
    ("pipeline-secrets/AWS", "realmat"): {"list", "get", "put"},
    # Where photographs, materials and environments lie that runs start from.
    ("pipeline-secrets/AWS", "sources"): {"list", "get"},
    # Label Studio gets this key, and sees the images of tasks alone.
    ("pipeline-secrets/LABEL_STUDIO_S3", "realmat"): {"list"},
}


class Place:
    """A guarded server, whose buckets hold an object each."""

    def __init__(self) -> None:
        self.secrets: Secrets = make_secrets()
        self.secrets["backup-secrets"] = {
            "AWS_ACCESS_KEY_ID": secrets.token_hex(10).upper(),
            "AWS_SECRET_ACCESS_KEY": secrets.token_urlsafe(30),
        }
        self.store = Store()
        self.guard = guarded(self.secrets)
        self.store.application = self.guard
        self.address = f"http://127.0.0.1:{self.store.port}"
        self.everything = self.client("s3-secrets/AWS")
        make_buckets(self.everything, EVERY_BUCKET)
        for bucket in EVERY_BUCKET:
            self.everything.put_object(Bucket=bucket, Key="there", Body=b"1")

    def client(self, key: str, secret: str = "") -> Any:
        """A client with the key that a Secret holds; `secret` in the place of its own."""
        name, _, prefix = key.partition("/")
        kept = self.secrets[name]
        return self.signed(
            kept[f"{prefix}_ACCESS_KEY_ID"], secret or kept[f"{prefix}_SECRET_ACCESS_KEY"]
        )

    def signed(self, identity: str, secret: str) -> Any:
        return boto3.client(
            "s3", endpoint_url=self.address, region_name="us-east-1", aws_access_key_id=identity,
            aws_secret_access_key=secret,
            config=Config(signature_version="s3v4", retries={"total_max_attempts": 1}),
        )  # fmt: skip


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with enable_iam_authentication():
        made = Place()
        yield made
        made.store.close()
    # All servers of this process share what they hold.
    s3_backends[DEFAULT_ACCOUNT_ID]["aws"].reset()


def refusal(action: Any, **given: Any) -> str:
    with pytest.raises(ClientError) as found:
        action(**given)
    assert found.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    return str(found.value.response["Error"]["Code"])


def test_there_is_a_policy_for_each_key_of_the_secrets_and_no_other() -> None:
    lines = (MANIFESTS / "secrets.txt").read_text(encoding="utf-8").splitlines()
    rows = [line.split()[:2] for line in lines if line and not line.startswith("#")]
    wanted = {f"{secret}/{key}" for secret, key in rows if key.endswith("ACCESS_KEY_ID")}
    assert json.loads(POLICIES.read_text(encoding="utf-8")).keys() == wanted
    assert wanted == {f"{key}_ACCESS_KEY_ID" for key in (*KEYS, "s3-secrets/AWS")}


@pytest.mark.parametrize("bucket", EVERY_BUCKET)
@pytest.mark.parametrize("key", KEYS)
def test_a_key_may_do_this_in_a_bucket_and_nothing_else(
    place: Place, key: str, bucket: str
) -> None:
    client = place.client(key)
    may = set()
    for name, action in {
        "list": lambda: client.list_objects_v2(Bucket=bucket),
        "get": lambda: client.get_object(Bucket=bucket, Key="there"),
        "put": lambda: client.put_object(Bucket=bucket, Key="new", Body=b"2"),
        "delete": lambda: client.delete_object(Bucket=bucket, Key="new"),
    }.items():
        with suppress(client.exceptions.ClientError):
            action()
            may.add(name)
    assert may == MAY.get((key, bucket), set())
    assert refusal(client.create_bucket, Bucket="another") == "AccessDenied"


def test_the_key_of_task_images_reads_them_alone(place: Place) -> None:
    pipeline, reader = (
        place.client("pipeline-secrets/AWS"), place.client("pipeline-secrets/LABEL_STUDIO_S3")
    )  # fmt: skip
    pipeline.put_object(Bucket="realmat", Key="labels/a.png", Body=b"picture")
    found = reader.get_object(Bucket="realmat", Key="labels/a.png")["Body"].read()
    assert found == b"picture"
    one = {"Bucket": "realmat", "Key": "labels/a.png"}
    assert refusal(reader.put_object, Body=b"", **one) == "AccessDenied"
    assert refusal(reader.delete_object, **one) == "AccessDenied"
    assert refusal(reader.get_object, Bucket="realmat", Key="there") == "AccessDenied"


def test_a_wrong_secret_an_unknown_key_and_none_are_refused(place: Place) -> None:
    one = {"Bucket": "realmat", "Key": "there"}
    wrong = place.client("pipeline-secrets/AWS", secret="guessed")
    assert refusal(wrong.get_object, **one) == "SignatureDoesNotMatch"
    nobody = place.signed("A" * 20, "guessed")
    assert refusal(nobody.get_object, **one) == "InvalidAccessKeyId"
    for client in (wrong, nobody):
        address = client.generate_presigned_url("get_object", Params=one)
        assert httpx.get(address).status_code == 403
    for path in ("/", "/realmat", "/realmat/there", "/?X-Amz-Signature=0"):
        assert httpx.get(place.address + path).status_code == 403
    old = {"Authorization": "AWS key:signature"}
    assert httpx.get(f"{place.address}/realmat/there", headers=old).status_code == 403
    # moto's own interface, by which anybody could switch the checks off or empty the buckets, and
    # which asks for no signature.
    forged = {
        "Authorization": f"AWS4-HMAC-SHA256 Credential={'A' * 20}/1/us-east-1/s3/aws4_request"
    }
    for headers in ({}, forged):
        for path in ("reset-auth", "reset"):
            asked = httpx.post(f"{place.address}/moto-api/{path}", content="inf", headers=headers)
            assert asked.status_code >= 400
    assert refusal(wrong.get_object, **one) == "SignatureDoesNotMatch"
    assert place.everything.get_object(**one)["Body"].read() == b"1"


@pytest.mark.parametrize("name", ["labels/a.png", "labels/ü b+c&d=e%20/f.png"])
def test_a_presigned_address_does_what_it_says_and_no_more(place: Place, name: str) -> None:
    place.everything.put_object(Bucket="realmat", Key=name, Body=b"picture")
    reader, one = place.client("pipeline-secrets/LABEL_STUDIO_S3"), {"Bucket": "realmat"}

    def address(key: str, action: str = "get_object", **more: Any) -> str:
        params = {**one, "Key": key, **more}
        return str(reader.generate_presigned_url(action, Params=params, ExpiresIn=60))

    assert httpx.get(address(name)).content == b"picture"
    kind = httpx.get(address(name, ResponseContentType="image/png")).headers["content-type"]
    assert kind == "image/png"
    assert httpx.get(address("there")).status_code == 403  # signed, but not the key's to read
    assert httpx.put(address(name, "put_object"), content=b"").status_code == 403
    for old, new in (("/labels/", "/labels2/"), ("Expires=60", "Expires=99"), ("=host", "=date")):
        assert httpx.get(address(name).replace(old, new)).status_code == 403
    assert httpx.head(address(name)).status_code == 403  # the method is part of what is signed
    assert place.everything.get_object(**one, Key=name)["Body"].read() == b"picture"


def test_a_presigned_address_ends(place: Place) -> None:
    writer = place.client("pipeline-secrets/AWS")
    params = {"Bucket": "realmat", "Key": "there"}
    address = writer.generate_presigned_url("get_object", Params=params, ExpiresIn=60)
    assert httpx.get(address).content == b"1"
    now = place.guard.now
    try:
        place.guard.now = lambda: datetime.now(UTC) + timedelta(seconds=62)
        answer = httpx.get(address)
    finally:
        place.guard.now = now
    assert answer.status_code == 403
    assert "expired" in answer.text


def test_large_files_travel_in_parts_also_by_presigned_addresses(
    place: Place, tmp_path: Path
) -> None:
    """The second way is MLflow's: its server signs an address for each part."""
    client, content = place.client("mlflow-secrets/AWS"), os.urandom(PART + 1000)
    file = tmp_path / "large"
    file.write_bytes(content)
    limits = boto3.s3.transfer.TransferConfig(multipart_threshold=PART, multipart_chunksize=PART)
    client.upload_file(str(file), "mlflow", "direct", Config=limits)
    whole = {"Bucket": "mlflow", "Key": "signed"}
    upload = {**whole, "UploadId": client.create_multipart_upload(**whole)["UploadId"]}
    parts = []
    for number, piece in enumerate((content[:PART], content[PART:]), 1):
        address = client.generate_presigned_url(
            "upload_part", Params={**upload, "PartNumber": number}
        )
        answer = httpx.put(address, content=piece)
        assert answer.status_code == 200
        parts.append({"PartNumber": number, "ETag": answer.headers["etag"]})
    client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    for name in ("direct", "signed"):
        client.download_file("mlflow", name, str(tmp_path / name))
        assert (tmp_path / name).read_bytes() == content
