"""The bill of materials of an image: what it lists, and that it is CycloneDX."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.services import missing

ROOT = Path(__file__).parents[2]
PYTHON = """\
Name: Some_Package
Version: 1.2+local
License-Expression: MIT OR Apache-2.0

"""
LEGACY = """\
Name: legacy
Version: 3
License: BSD License

"""
WHOLE_TEXT = """\
Name: whole
Version: 4
License: Permission is hereby granted
 to whoever asks
Classifier: License :: OSI Approved :: MIT License

"""
STATUS = """\
Package: libexample++
Status: install ok installed
Architecture: amd64
Version: 1:2.0+dfsg-3~deb12u1

Package: gone
Status: deinstall ok config-files
Version: 2
"""
COPYRIGHT = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
License: Zlib

Files: debian/*
License: GPL-2+
"""
# Checks a bill against the schema of CycloneDX 1.5, and its package URLs against theirs.
CHECK = """
import json, sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
text = sys.stdin.read()
error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(text)
wrong = [] if error is None else [str(error)]
for one in json.loads(text)["components"]:
    address = PackageURL.from_string(one["purl"])
    named = (address.name, address.version) == (one["name"], one["version"])
    if address.to_string() != one["purl"] or not named:
        wrong.append(one["purl"])
print(json.dumps(wrong))
"""


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An unpacked image with three packages of Python's and one of Debian's."""
    site = tmp_path / "image/opt/realmat/lib/python3.11/site-packages"
    for name, text in (("a", PYTHON), ("b", LEGACY), ("c", WHOLE_TEXT)):
        (site / f"{name}.dist-info").mkdir(parents=True)
        (site / f"{name}.dist-info" / "METADATA").write_text(text)
    for path, text in (
        ("var/lib/dpkg/status", STATUS),
        ("usr/share/doc/libexample++/copyright", COPYRIGHT),
    ):
        file = tmp_path / "image" / path
        file.parent.mkdir(parents=True)
        file.write_text(text)
    return tmp_path / "image"


def bill(root: Path) -> str:
    command = [sys.executable, str(ROOT / "images" / "inspect"), str(root), "app", "0.1.0"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def wrong(text: str) -> list[str]:
    """What is wrong with a bill, as the library of CycloneDX sees it."""
    python = ROOT / ".venv.manifests" / "bin" / "python"
    if not python.exists():
        missing("the checkers are not installed: run .ci/install --manifests")
    done = subprocess.run(
        [str(python), "-c", CHECK], input=text, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_the_bill_lists_what_is_there_with_its_licences(image: Path) -> None:
    found: dict[str, Any] = {one["purl"]: one for one in json.loads(bill(image))["components"]}
    assert {address: one.get("licenses") for address, one in found.items()} == {
        "pkg:pypi/some-package@1.2%2Blocal": [{"expression": "MIT OR Apache-2.0"}],
        "pkg:pypi/legacy@3": [{"license": {"name": "BSD License"}}],
        "pkg:pypi/whole@4": [{"license": {"name": "MIT License"}}],
        "pkg:deb/debian/libexample%2B%2B@1:2.0%2Bdfsg-3~deb12u1?arch=amd64": [
            {"license": {"name": "GPL-2+"}},
            {"license": {"name": "Zlib"}},
        ],
    }


def test_the_bill_is_cyclonedx_and_its_addresses_are_package_urls(image: Path) -> None:
    text = bill(image)
    assert wrong(text) == []
    assert wrong(text.replace("%2B", "+")), "the check sees an address that is not encoded"
    assert wrong(text.replace('"library"', '"book"')), "the check sees what CycloneDX has not"


def test_the_serial_number_is_of_what_the_image_holds(image: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(image, tmp_path / "copy")
    assert bill(copy) == bill(image)
    (file,) = copy.glob("opt/realmat/lib/*/*/b.dist-info/METADATA")
    file.write_text(LEGACY.replace("Version: 3", "Version: 3.1"))
    numbers = {json.loads(bill(root))["serialNumber"] for root in (image, copy)}
    assert len(numbers) == 2
