"""The search for secrets in the history: planted ones are found, and this repository has none."""

import subprocess
from pathlib import Path

import pytest

from tests.ci.programs import ROOT, load

leaks = load("leaks")

# Put together here, so that this file holds none.
PLANTED = {
    "access key of S3": "AKIA" + "Q3" * 8,
    "token of GitHub": "ghp_" + "aB3" * 12,
    "token of GitLab": "glpat-" + "aB3-x" * 4,
    "token of Hugging Face": "hf_" + "aB" * 17,
    "token of Slack": "xoxb-" + "12345-" * 5,
    "key of Google": "AIza" + "aB3-_" * 7,
    "key of a model's API": "sk-" + "aB3_" * 10,
    "signed token": ".".join(["eyJ" + "aB3" * 8, "eyJ" + "cD4" * 8, "eF5" * 10]),
    "password in an address": "postgresql://" + "owner:" + "hunter2@db.example/x",
    "private key": "-----BEGIN RSA PRIVATE" + " KEY-----\n" + "MIIE" * 10,
    "value of a secret's name": "API_TOKEN = '" + "a1b2c3d4" * 4 + "'",
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    return tmp_path


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True)


def commit(folder: Path, name: str, text: str, message: str = "m") -> None:
    (folder / name).write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", message)


def test_there_is_a_planted_secret_of_every_kind() -> None:
    assert set(PLANTED) == set(leaks.KINDS)


@pytest.mark.parametrize("kind", PLANTED)
def test_a_secret_is_found_after_it_was_removed(kind: str, repository: Path) -> None:
    commit(repository, "settings.py", f"first = 1\nvalue = {PLANTED[kind]}\n")
    commit(repository, "settings.py", "first = 1\n")
    (leak,) = [one for one in leaks.leaks(repository) if one.kind == kind]
    assert (leak.path, leak.line) == ("settings.py", 2)
    assert PLANTED[kind][5:] not in str(leak)


def test_messages_and_dropped_commits_are_searched(repository: Path) -> None:
    commit(repository, "a", "1", message=f"use {PLANTED['token of GitHub']}")
    commit(repository, "b", PLANTED["access key of S3"])
    git(repository, "reset", "-q", "--hard", "HEAD~")
    assert {leak.path for leak in leaks.leaks(repository)} == {"(commit)", "(blob)"}


def test_names_and_references_of_secrets_are_none(repository: Path) -> None:
    text = """
token = os.environ["LABEL_STUDIO_API_KEY_OF_THIS_HOST"]
secretName: realmat-app-database-credentials
password: ${POSTGRES_PASSWORD}
address = f"https://{user}:{password}@{host}/"
url = "https://example.org/a:b@c"
digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
"""
    commit(repository, "a.py", text)
    assert leaks.leaks(repository) == []


def test_allowed_text_is_passed_over_and_nothing_else(repository: Path) -> None:
    commit(repository, "a", f"{PLANTED['access key of S3']}\n{PLANTED['password in an address']}\n")
    assert len(leaks.leaks(repository)) == 2
    (left,) = leaks.leaks(repository, [b"owner:hunter2@"])
    assert left.kind == "access key of S3"


def test_this_repository_holds_no_secret() -> None:
    done = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--git-dir"], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("this copy of the project has no history")
    assert [str(leak) for leak in leaks.leaks(ROOT)] == []
