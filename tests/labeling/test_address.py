"""Addresses of labelling projects."""

import pytest

from components.core.errors import UserError
from labeling.address import PROJECT, Address, parse
from labeling.images import S3Images, image_store


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("label-studio://localhost:8080/May%20set", Address("http://localhost:8080", "May set")),
        ("label-studio://labels.example.org", Address("https://labels.example.org", PROJECT)),
        ("label-studio+http://ls.lab.svc:8080/a", Address("http://ls.lab.svc:8080", "a")),
        (
            "label-studio://h/x?images=s3://bucket/to/judge",
            Address("https://h", "x", "s3://bucket/to/judge"),
        ),
        ("label-studio://[::1]:80/x", Address("http://[::1]:80", "x")),
    ],
)
def test_an_address_is_read_and_written(uri: str, address: Address) -> None:
    assert parse(uri) == address
    assert parse(str(address)) == address


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("http://localhost:8080/x", "is not of the form"),
        ("label-studio://", "is not of the form"),
        ("label-studio://h:99999999/x", "is no address"),
        ("label-studio://h/x?image=inline", "no option 'image'"),
    ],
)
def test_what_is_no_address_is_refused(uri: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        parse(uri)


def test_a_key_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(UserError, match="LABEL_STUDIO_API_KEY") as told:
        parse("label-studio://me:topsecret@h/x")
    assert "topsecret" not in str(told.value)


def test_an_unknown_place_of_images_is_refused() -> None:
    for images in ("ftp://x", "local:", "s3://", ""):
        with pytest.raises(UserError, match="unknown"):
            image_store(images)


def test_a_word_that_is_neither_true_nor_false_is_refused() -> None:
    assert S3Images("s3://b/p", None, {}).presign
    assert not S3Images("s3://b/p", None, {"LABEL_STUDIO_S3_PRESIGN": "false"}).presign
    with pytest.raises(UserError, match=r"LABEL_STUDIO_S3_PRESIGN=no .* true nor false"):
        S3Images("s3://b/p", None, {"LABEL_STUDIO_S3_PRESIGN": "no"})
