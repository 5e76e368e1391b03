#!/usr/bin/env python3
"""Looks for secrets in everything that git holds: each version of each file, and each message.

    .ci/leaks.py [REPOSITORY]

A secret that a later commit removed is still there for whoever clones. Binary files are left out.
Exit code 0: none; 1: some, named by object, path and kind, never by value; 2: no repository.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

KINDS = {
    "private key": rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{20}",
    "access key of S3": rb"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    "token of GitHub": rb"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60})",
    "token of GitLab": rb"\bglpat-[A-Za-z0-9_-]{20}",
    "token of Hugging Face": rb"\bhf_[A-Za-z0-9]{34}\b",
    "token of Slack": rb"\bxox[abeoprs]-[A-Za-z0-9-]{20}",
    "key of Google": rb"\bAIza[A-Za-z0-9_-]{35}\b",
    "key of a model's API": rb"\bsk-[A-Za-z0-9_-]{32}",
    "signed token": rb"\beyJ[A-Za-z0-9_-]{15,}\.eyJ[A-Za-z0-9_-]{15,}\.[A-Za-z0-9_-]{20}",
    "password in an address": rb"\b[a-z][a-z0-9+]*://[^\s/:@'\"{}$<>%]+:[^\s/:@'\"{}$<>%]{3,}@[\w.-]+",
    "value of a secret's name": (
        rb"(?i)\b\w*(?:password|secret|token|api_?key)\w*[\"']?\s*[:=]\s*[\"']"
        rb"(?=[^\"']*[0-9])(?=[^\"']*[a-z])[A-Za-z0-9+/_=-]{24,}[\"']"
    ),
}
PATTERNS = {kind: re.compile(pattern) for kind, pattern in KINDS.items()}

# What looks like a secret and is none: a part of the text that was found, and why.
ALLOWED = {
    b"USER:PASSWORD@": "what stands for them in a sentence",
    b"me:secret@127.0.0.1": "an address that a test sees refused",
    b"me:topsecret@h": "a password that a test looks for in the error's text",
    b"user:hidden@127.0.0.1": "a password that a test looks for in the log",
}


@dataclass(frozen=True)
class Leak:
    """A secret, by where it is."""

    kind: str
    object: str
    path: str
    line: int

    def __str__(self) -> str:
        return f"{self.object[:12]} {self.path}:{self.line}: {self.kind}"


def leaks(repository: Path, allowed: Collection[bytes] = ALLOWED) -> list[Leak]:
    """The secrets in a repository's objects, those without a name in any commit included."""
    paths = _paths(repository)
    found = []
    for name, kind, content in objects(repository):
        if b"\0" in content[:8000]:
            continue
        for what, pattern in PATTERNS.items():
            for match in pattern.finditer(content):
                if any(part in match[0] for part in allowed):
                    continue
                line = content.count(b"\n", 0, match.start()) + 1
                found.append(Leak(what, name, paths.get(name, f"({kind})"), line))
    return sorted(found, key=str)


def objects(repository: Path) -> Iterator[tuple[str, str, bytes]]:
    """Name, kind and content of every file, commit and tag that git keeps."""
    listing = _git(repository, "cat-file", "--batch-all-objects", "--batch-check", "--unordered")
    wanted = [line.split() for line in listing.decode().splitlines()]
    names = [name for name, kind, _ in wanted if kind in ("blob", "commit", "tag")]
    # One answer for all: a process for each object would take minutes.
    content = _git(repository, "cat-file", "--batch", given="\n".join(names).encode() + b"\n")
    start = 0
    while start < len(content):
        end = content.index(b"\n", start)
        name, kind, size = content[start:end].decode().split()
        yield name, kind, content[end + 1 : end + 1 + int(size)]
        start = end + 1 + int(size) + 1


def _paths(repository: Path) -> dict[str, str]:
    """A path of each file that some commit holds."""
    listing = _git(repository, "rev-list", "--objects", "--all").decode(errors="replace")
    pairs = (line.partition(" ") for line in listing.splitlines())
    return {name: path for name, _, path in pairs if path}


def _git(repository: Path, *arguments: str, given: bytes = b"") -> bytes:
    command = ["git", "-C", str(repository), *arguments]
    # Its own program, and arguments from here.
    done = subprocess.run(command, input=given, capture_output=True, check=False)  # noqa: S603
    if done.returncode:
        raise OSError(done.stderr.decode(errors="replace").strip())
    return done.stdout


def main(arguments: list[str]) -> int:
    """Print what is found; the exit code."""
    repository = Path(arguments[0] if arguments else ".")
    try:
        found = leaks(repository)
    except OSError as error:
        print(f"{repository} is no repository that git can read: {error}", file=sys.stderr)
        return 2
    for leak in found:
        print(leak)
    print(f"{len(found)} secrets in the history")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
