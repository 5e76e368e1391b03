"""Freed memory is used again without asking the system, and the peak is the process's own."""

import subprocess
import sys

import pytest

from components.core.platform.memory import peak_memory

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


CHILD = """
import resource
from components.core.platform.memory import peak_memory
print(peak_memory(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""
PARENT = """
import subprocess, sys
held = bytearray(b"x") * 2**28
subprocess.run([sys.executable, "-c", sys.argv[1]], check=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_the_peak_is_not_that_of_the_process_before() -> None:
    command = [sys.executable, "-c", PARENT, CHILD]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    own, inherited = map(int, done.stdout.split())
    assert own < 2**27 < 2**28 <= inherited  # else there would be nothing to tell apart
    held = bytearray(b"x") * 2**28
    assert peak_memory() >= len(held)
