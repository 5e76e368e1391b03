"""Votes a second of the study's server, beside a bare insert, on both databases (`make bench`)."""

import asyncio
import json
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import httpx

from apps.study.place import Place
from tests.apps.serving import ROOT, Server
from tests.apps.studies import make_study

PEOPLE, PER_SURVEY = 40, 25


def test_votes_a_second(database_url: str, tmp_path: Path) -> None:
    place = Place(tmp_path / "data", database_url)
    database = place.database()
    make_study(
        database, place.media, PER_SURVEY, per_survey=PER_SURVEY, catch_share=0, repeat_share=0
    )
    database.close()
    server = Server(place.folder, database_url, rate=1_000_000)
    try:
        file = tmp_path / "votes.jsonl"
        command = [sys.executable, "-m", "tests.apps.voters", server.url("/api/study/one/")]
        subprocess.run([*command, str(PEOPLE), str(file)], cwd=ROOT, check=True)
    finally:
        server.kill()
    ours = json.loads(file.read_text().splitlines()[-1])
    rate, p99 = bare(database_url, ours["votes"])
    name = database_url.partition(":")[0].partition("+")[0]
    ratio = ours["per_second"] / rate
    print(
        f"\n{name}: {ours['per_second']:.0f} votes/s with joining, p99 {1000 * ours['p99']:.0f} ms"
        f"; bare insert {rate:.0f}/s, p99 {1000 * p99:.0f} ms; ratio {ratio:.2f} (aim 0.7)"
    )


def bare(url: str, count: int) -> tuple[float, float]:
    """Rate and 99th percentile of as many bare inserts by as many clients at once."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "tests.apps.bare", url, str(port)], cwd=ROOT)
    address = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                urllib.request.urlopen(f"{address}/readyz").close()
                break
            except OSError:
                time.sleep(0.1)
        return asyncio.run(_flood(address, count))
    finally:
        process.kill()
        process.wait()


async def _flood(address: str, count: int) -> tuple[float, float]:
    waits: list[float] = []

    async def one(client: httpx.AsyncClient, votes: int) -> None:
        for _ in range(votes):
            body = {
                "token": "x" * 60, "trial": secrets.token_hex(8), "choice": "left", "seconds": 1.0,
            }  # fmt: skip
            started = time.perf_counter()
            answer = await client.post("/votes", json=body)
            assert answer.status_code == 200
            waits.append(time.perf_counter() - started)

    limits = httpx.Limits(max_connections=100, max_keepalive_connections=100)
    started = time.perf_counter()
    async with httpx.AsyncClient(base_url=address, limits=limits, timeout=30) as client:
        await asyncio.gather(*(one(client, count // PEOPLE) for _ in range(PEOPLE)))
    seconds = time.perf_counter() - started
    return len(waits) / seconds, sorted(waits)[int(0.99 * len(waits))]
