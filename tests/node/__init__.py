"""Checkers that only npm has, run by the Node.js of the lock file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

MODULES = Path(__file__).parent / "node_modules"


def module(name: str) -> Path:
    """The folder of a package; without it the test is skipped, but not in CI."""
    folder = MODULES / name
    if not folder.is_dir():
        reason = f"{name} is not installed: .ci/install --services"
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(reason)
        pytest.skip(reason)
    return folder
