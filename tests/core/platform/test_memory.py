"""Freed memory is used again without asking the system for it."""

import subprocess
import sys

import pytest

ROUNDS = """
import resource
from components.core.platform.memory import keep_freed_memory
if {keep}:
    keep_freed_memory()
for _ in range(6):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [bytearray(2**20) for _ in range(100)]
    del blocks
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(keep: bool) -> int:
    """Pages that the sixth round of taking and freeing 100 MiB had to be given anew."""
    code = ROUNDS.format(keep=keep)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc is Linux's")
def test_memory_is_kept() -> None:
    assert faults(keep=False) > 10_000  # of 25,600 pages: else there would be nothing to mend
    assert faults(keep=True) < 500
