"""The demo over HTTP: ask, watch, list, fetch; what is wrong is refused in words."""

from __future__ import annotations

import base64
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from gradio_client import Client

from apps.graceful import gradio_of
from apps.materials.ask import MAX_COUNT, MAX_SEED
from apps.materials.champion import Champion
from apps.materials.page import WATCHERS
from apps.materials.scheduler import QUEUE
from apps.materials.studio import Studio
from apps.server import create_app
from components.core.generator import MAX_PROMPT
from tests.apps.studios import STEPS, FakeGenerator, served
from tests.evaluation.micro import FlatRenderer, environments


def studio_of(folder: Path, generator: FakeGenerator) -> Studio:
    return Studio.open(Champion(generator), FlatRenderer(), environments(), folder)


@pytest.fixture
def generator() -> FakeGenerator:
    return FakeGenerator()


@pytest.fixture
def client(tmp_path: Path, generator: FakeGenerator) -> Iterator[TestClient]:
    with TestClient(create_app(studio_of(tmp_path, generator)), raise_server_exceptions=False) as c:
        yield c


def ask(client: TestClient, **values: Any) -> dict[str, Any]:
    answer = client.post("/api/materials?wait=20", json={"prompt": "brick", **values})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_ask_list_and_fetch(client: TestClient) -> None:
    made = ask(client, prompt="old <b>brick</b>", count=2, seed=5)
    assert (made["state"], made["progress"], made["total"]) == ("done", 1.0, 2)
    mine = client.get("/api/materials", headers={"X-RealMat-Session": made["session"]}).json()
    assert {card["id"] for card in mine} == set(made["made"])
    first = client.get(f"/api/materials/{made['made'][0]}").json()
    assert (first["seed"], first["version"], first["by"]) == (5, "3", "realmat version 3")
    assert first["score"] == pytest.approx(127 * 0.6 / 255, abs=0.01)
    for file in first["files"]:
        fetched = client.get(f"/api/materials/{first['id']}/{file}")
        assert fetched.status_code == 200
        assert fetched.headers["content-type"].split(";")[0] != "text/html"
    assert client.get("/api/materials").json() == []


def test_downloads_are_attachments_named_after_the_category(client: TestClient) -> None:
    name = ask(client)["made"][0]
    answer = client.get(f"/api/materials/{name}/material.zip")
    disposition = 'attachment; filename="realmat-brick-material.zip"'
    assert answer.headers["content-disposition"] == disposition
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert json.loads(archive.read("material.json"))["version"] == "3"


def test_a_job_is_watched_as_events(client: TestClient, generator: FakeGenerator) -> None:
    generator.gate.clear()
    job = client.post("/api/materials", json={"prompt": "brick", "count": 2}).json()
    assert job["state"] in ("waiting", "running")
    threading.Timer(0.3, generator.gate.set).start()
    lines = client.get(f"/api/jobs/{job['job']}/events").text.strip().split("\n\n")
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert events[-1]["state"] == "done"
    assert [event["progress"] for event in events] == sorted(e["progress"] for e in events)
    assert all(event["step"] <= STEPS for event in events)
    assert client.get(f"/api/jobs/{job['job']}").json() == events[-1]


def test_a_job_is_cancelled(client: TestClient, generator: FakeGenerator) -> None:
    generator.gate.clear()
    job = client.post("/api/materials", json={"prompt": "brick"}).json()["job"]
    assert client.delete(f"/api/jobs/{job}").json()["state"] == "cancelled"
    generator.gate.set()
    assert client.get(f"/api/jobs/{job}").json()["made"] == []


def test_before_and_after_rl_share_their_seeds(
    client: TestClient, generator: FakeGenerator
) -> None:
    made = ask(client, count=2, seed=8, compare=True)["made"]
    cards = [client.get(f"/api/materials/{name}").json() for name in made]
    facts = [(c["seed"], c["reinforced"]) for c in cards]
    assert facts == [(8, True), (8, False), (9, True), (9, False)]
    assert cards[1]["by"] == "realmat version 3, before RL"
    generator.has_adapter = False
    refused = client.post("/api/materials", json={"prompt": "brick", "compare": True})
    assert refused.status_code == 422
    assert "nothing to compare" in refused.json()["detail"]


def test_more_like_this_starts_from_its_seed(client: TestClient) -> None:
    first = ask(client, seed=4)["made"][0]
    like = ask(client, seed=9, count=2, like={"material": first, "strength": 0.3})["made"]
    again = ask(client, seed=1, like={"material": like[0], "strength": 0.5})["made"][0]
    words = client.get(f"/api/materials/{again}/material.json").json()
    near = {"strength": 0.5, "seed": 9, "variation_of": {"strength": 0.3, "seed": 4}}
    assert (words["seed"], words["variation_of"]) == (1, near)
    lost = {"prompt": "brick", "like": {"material": "nothing"}}
    assert client.post("/api/materials", json=lost).status_code == 404


def test_seeds_wrap_around_and_are_random_unless_given(client: TestClient) -> None:
    made = ask(client, count=2, seed=MAX_SEED)["made"]
    assert [client.get(f"/api/materials/{n}").json()["seed"] for n in made] == [MAX_SEED, 0]
    seeds = {client.get(f"/api/materials/{ask(client)['made'][0]}").json()["seed"] for _ in "ab"}
    assert len(seeds) == 2


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"prompt": ""}, "the prompt is empty"),
        ({"prompt": "x" * (MAX_PROMPT + 1)}, f"has {MAX_PROMPT + 1} characters"),
        ({"prompt": "x" * 50_000}, "at most 20000"),
        ({"prompt": "brick", "count": MAX_COUNT + 1}, "less than or equal to 8"),
        ({"prompt": "brick", "count": 0}, "greater than or equal to 1"),
        ({"prompt": "brick", "seed": -1}, "greater than or equal to 0"),
        ({"prompt": "brick", "light": "no such light"}, "no light called"),
        ({"prompt": "brick", "like": {"material": "x", "strength": 0}}, "greater than 0"),
        ({"prompt": "brick", "unknown": 1}, "Extra inputs"),
        ([], "dictionary"),
        ({"prompt": "'; drop table materials; --", "light": "<script>"}, "no light called"),
    ],
)
def test_bad_input_is_refused_in_words(client: TestClient, body: Any, words: str) -> None:
    answer = client.post("/api/materials", json=body)
    assert answer.status_code == 422
    assert words in json.dumps(answer.json())


def test_a_full_queue_says_when_to_come_back(client: TestClient, generator: FakeGenerator) -> None:
    generator.gate.clear()
    answers = [
        client.post("/api/materials", json={"prompt": "brick", "count": 8}) for _ in range(12)
    ]
    assert [a.status_code for a in answers[:7]] == [202] * 7
    assert answers[-1].status_code == 503
    assert answers[-1].headers["retry-after"] == "30"
    assert client.get("/api/queue").json()["waiting"] <= 64
    generator.gate.set()


@pytest.mark.parametrize(
    "path",
    [
        "/api/materials/..%2f..%2fetc/albedo.png", "/api/materials/aaaaaaaaaaaaaaaa/albedo.png",
        "/api/materials/%2e%2e/about.json", "/api/jobs/nothing", "/api/jobs/nothing/events",
        "/assets/materials/..%2f..%2fserver.py", "/assets/materials/%2fetc%2fpasswd",
        "/gradio_api/file=/etc/passwd", "/gradio_api/file=../../pyproject.toml",
        "/api/lights/..%2f..%2fetc",
    ],
)  # fmt: skip
def test_nothing_but_materials_can_be_fetched(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert 400 <= answer.status_code < 500
    assert b"root:" not in answer.content


def test_about_and_owner_stay_inside(client: TestClient) -> None:
    name = ask(client)["made"][0]
    for file in ("about.json", "../about.json", "download-plane.glb", ".hidden"):
        assert client.get(f"/api/materials/{name}/{file}").status_code in (404, 422)


def test_health_names_the_model_and_metrics_count(client: TestClient) -> None:
    health = client.get("/healthz").json()
    assert health == {"status": "ok", "model": "realmat", "version": "3", "alias": "champion"}
    assert client.get("/api/model").json()["reinforced"] is True
    ask(client)
    text = client.get("/metrics").text
    assert "realmat_generation_seconds_count 1.0" in text
    assert "realmat_queue 0.0" in text
    route = 'realmat_requests_total{method="POST",route="/api/materials",status="200"} 1.0'
    assert route in text


def test_the_page_offers_its_controls_and_loads_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/").text
    for text in ("Tileable", "Variations", "realmat version 3 (champion)", "preview.js"):
        assert text in page
    for host in ("fonts.googleapis.com", "cdnjs"):
        assert host not in page


def test_what_of_gradio_nobody_needs_is_not_there(client: TestClient) -> None:
    files = {"files": ("x.html", b"<script>alert(1)</script>", "text/html")}
    assert client.post("/gradio_api/upload", files=files).status_code == 404
    assert client.post("/gradio_api/run/generate", json={"data": ["brick"]}).status_code == 404
    for path in ("/monitoring", "/gradio_api/file=/etc/passwd", "/gradio_api/runs", "/runs"):
        assert client.get(path).status_code == 404
    assert client.get("/config").status_code == 200
    assert client.get("/gradio_api/info").status_code == 200


def test_as_many_screens_are_watched_as_the_fair_queue_takes(
    client: TestClient, generator: FakeGenerator
) -> None:
    blocks = gradio_of(client.app).get_blocks()  # type: ignore[arg-type]
    assert WATCHERS > QUEUE
    limits = {f.concurrency_limit for f in blocks.fns.values() if f.queue}
    assert limits <= {"default", WATCHERS}
    assert blocks._queue.default_concurrency_limit == WATCHERS


def test_a_forged_session_of_the_page_ends_nothing(
    client: TestClient, generator: FakeGenerator
) -> None:
    """What a browser keeps is any JSON: none of it reaches the thread that samples."""
    blocks = gradio_of(client.app).get_blocks()  # type: ignore[arg-type]
    (made,) = [number for number, f in blocks.fns.items() if f.name == "on_generate"]
    controls = ["brick", 1, 5, False, True, False, client.get("/api/lights").json()[0]]
    for number, kept in enumerate((["x"], {"a": 1}, 7, None, True, "x" * 200)):
        before = len(generator.batches)
        body = {"data": [kept, *controls], "fn_index": made, "session_hash": f"forged{number}"}
        assert client.post("/gradio_api/queue/join", json=body).status_code == 200
        events = client.get(f"/gradio_api/queue/data?session_hash=forged{number}").text
        assert '"success":true' in events, events
        assert len(generator.batches) == before + 1
    assert client.get("/readyz").json() == {"status": "ready"}
    assert ask(client)["state"] == "done"


def test_a_server_that_samples_no_more_is_not_ready(tmp_path: Path) -> None:
    studio = studio_of(tmp_path, FakeGenerator())
    with TestClient(create_app(studio)) as client:
        assert client.get("/readyz").status_code == 200
        studio.scheduler.stop()
        answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"status": "nothing is sampled any more"})


def test_gradio_client_generates_lists_and_downloads(tmp_path: Path) -> None:
    with served(create_app(studio_of(tmp_path, FakeGenerator()))) as address:
        remote, other = (Client(f"{address}/", verbose=False) for _ in range(2))
        made = remote.predict("old brick wall", 2, 5, api_name="/generate")
        assert [one["seed"] for one in made] == [5, 6]
        assert {one["prompt"] for one in made} == {"old brick wall"}
        with pytest.raises(Exception, match="the prompt is empty"):
            remote.predict(" ", api_name="/generate")
        listed = remote.predict(api_name="/list")
        assert sorted(one["id"] for one in listed) == sorted(one["id"] for one in made)
        assert other.predict(api_name="/list") == []
        for name in ("material.zip", "albedo.png", "rendering.png"):
            got = remote.predict(made[0]["id"], name, api_name="/download")
            over_http = httpx.get(f"{address}/api/materials/{made[0]['id']}/{name}").content
            assert base64.b64decode(got["content"]) == over_http
        for material, name in ((made[0]["id"], "../about.json"), ("../x", "albedo.png")):
            with pytest.raises(Exception, match=r"no such file|not here"):
                remote.predict(material, name, api_name="/download")
