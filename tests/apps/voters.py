"""Many participants at once, in a process of their own: `python -m tests.apps.voters URL N FILE`.

Each takes a sub-survey and sends a vote again until it is acknowledged. Every acknowledged trial
becomes a line of FILE, which is written before the next request; the last line has the figures.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from pathlib import Path
from typing import Any, TextIO

import httpx

PATIENCE = 60.0


async def insist(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """The answer, whatever happens to the server in between."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            answer = await client.post(path, json=body)
            if answer.status_code == 200:
                return dict(answer.json())
            # 409: the server died after it had begun to show the next comparison.
            if answer.status_code not in (409, 429, 500, 502, 503):
                raise RuntimeError(f"{path}: {answer.status_code} {answer.text}")
        except httpx.TransportError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(path)
        await asyncio.sleep(random.uniform(0.05, 0.2))


async def participant(client: httpx.AsyncClient, file: TextIO, waits: list[float]) -> None:
    state = await insist(client, "join", {"consent": True})
    token = state["token"]
    while not state["done"]:
        body = {"token": token, "trial": state["trial"], "choice": "left", "seconds": 1.0}
        started = time.perf_counter()
        state = await insist(client, "votes", body)
        waits.append(time.perf_counter() - started)
        file.write(json.dumps({"trial": body["trial"]}) + "\n")
        file.flush()


async def main(url: str, count: int, path: str) -> None:
    waits: list[float] = []
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=100)
    started = time.perf_counter()
    with Path(path).open("w") as file:
        async with httpx.AsyncClient(base_url=url, limits=limits, timeout=30) as client:
            await asyncio.gather(*(participant(client, file, waits) for _ in range(count)))
        seconds = time.perf_counter() - started
        waits.sort()
        found = {
            "votes": len(waits), "seconds": seconds, "per_second": len(waits) / seconds,
            "median": waits[len(waits) // 2], "p99": waits[int(0.99 * len(waits))],
        }  # fmt: skip
        file.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
