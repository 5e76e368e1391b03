"""What images/build leaves behind, with a buildah that only notes how it is called."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILDAH = """\
#!/bin/sh
echo "$*" >>"$NOTES/calls"
case "$*" in
  *" bud "*)
    stat -c %a "$STORAGE/pip.conf" >"$NOTES/mode"
    exit "$BUD"
    ;;
  *" from "*) echo container ;;
  *" mount "*) echo "$NOTES/no-root" ;;
esac
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder of programs that do nothing, but for buildah's notes."""
    folder = tmp_path / "bin"
    folder.mkdir()
    # Without pip's configuration, which takes a second to read.
    for name in ("buildah", "mmdebstrap", "curl", "ip", "python3"):
        file = folder / name
        file.write_text(BUILDAH if name == "buildah" else "#!/bin/sh\n")
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return folder


PINNED = f"docker.io/library/debian@sha256:{'0' * 64}"


def build(
    programs: Path, result_of_bud: int, base: str = PINNED
) -> tuple[subprocess.CompletedProcess[str], str]:
    """Run images/build; what it said, and the calls of buildah."""
    notes = programs.parent
    environment = os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}", "STORAGE": str(notes / "storage"),
        "BASE": base, "NOTES": str(notes), "BUD": str(result_of_bud),
    }  # fmt: skip
    done = subprocess.run(
        [str(ROOT / "images" / "build"), "app"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    calls = notes / "calls"
    return done, calls.read_text() if calls.exists() else ""


@pytest.mark.parametrize("base", ["debian:12", "debian@sha256:00", f"{PINNED}-slim"])
def test_a_base_that_is_not_pinned_is_refused(programs: Path, base: str) -> None:
    done, calls = build(programs, 0, base)
    assert done.returncode == 2
    assert done.stderr.startswith(f"BASE={base} is not pinned: give Debian 12 by digest")
    assert calls == ""


def test_a_build_that_fails_leaves_no_configuration_of_pip(programs: Path) -> None:
    done, calls = build(programs, 1)
    assert done.returncode == 1
    assert " from " not in calls
    assert (programs.parent / "mode").read_text() == "600\n"  # there while it built
    assert not (programs.parent / "storage" / "pip.conf").exists()


def test_a_trial_that_fails_leaves_no_container(programs: Path) -> None:
    done, calls = build(programs, 0)
    assert done.returncode != 0  # the root of the container does not exist
    assert [line.split()[-2:] for line in calls.splitlines()[-2:]] == [
        ["umount", "container"], ["rm", "container"],
    ]  # fmt: skip
    assert not (programs.parent / "storage" / "pip.conf").exists()


def test_a_build_is_told_the_image_the_base_and_the_time(programs: Path) -> None:
    _, calls = build(programs, 1)
    (bud,) = [line for line in calls.splitlines() if " bud " in line]
    time = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    for words in ("IMAGE=app", f"BASE={PINNED}", f"--timestamp {time}", "--layers=false"):
        assert words in bud
