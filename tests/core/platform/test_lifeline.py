"""A follower ends when the holder is killed, and not before."""

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[3]
HOLDER = """
import sys, time
from pathlib import Path
from components.core.platform.lifeline import lifeline
with lifeline(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""
FOLLOWER = """
import sys, time
from pathlib import Path
from components.core.platform.lifeline import follow
follow(Path(sys.argv[1]))
print("following", flush=True)
time.sleep(60)
"""


def start(code: str, path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, str(path)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_followers_end_with_the_holder(tmp_path: Path) -> None:
    path = tmp_path / "alive"
    with start(HOLDER, path) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with start(FOLLOWER, path) as follower:
            assert follower.stdout is not None
            assert follower.stdout.readline() == "following\n"
            time.sleep(0.2)
            assert follower.poll() is None
            holder.kill()  # and not waited for: a zombie has no open pipes either
            assert follower.wait(timeout=20) == 1
        with start(FOLLOWER, path) as late:
            assert late.wait(timeout=20) == 1
