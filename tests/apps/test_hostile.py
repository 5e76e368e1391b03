"""Requests made to break the server: valid JSON that no answer can hold, NULs, forged pages."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from starlette.types import Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from apps.limits import Limits
from apps.logs import JsonLines
from apps.materials.champion import Champion
from apps.materials.page import known_session
from apps.materials.studio import Studio
from apps.refusals import NO_DATABASE
from apps.server import Study, create_app
from apps.study.place import Place
from tests.apps.serving import ROOT
from tests.apps.studies import make_study
from tests.apps.studios import FakeGenerator
from tests.evaluation.micro import FlatRenderer, environments

BODIES = (
    b'{"seconds": 1e999}', b'{"token": NaN}', b'{"prompt": "\\ud800"}', b'{"\\ud800": 1}', b"NaN",
    b"[1e999]", b"[" * 50_000, b"\x00", b'{"data": [NaN], "fn_index": 0, "session_hash": "x"}',
    b'{"data": [], "fn_index": 99999, "session_hash": "x"}',
    b'{"data": [], "fn_index": true, "session_hash": "x"}',
    b'{"data": [1], "fn_index": 0, "session_hash": "\\ud800"}',
    b'{"data": [1], "fn_index": 0, "session_hash": ["x"]}',
)  # fmt: skip
ROUTES = (
    "/api/materials", "/api/study/one/join", "/api/study/one/state", "/api/study/one/votes",
    "/api/study/%00/join", "/gradio_api/queue/join", "/gradio_api/call/generate",
    "/gradio_api/call/nothing", "/gradio_api/run/generate", "/gradio_api/cancel",
    "/gradio_api/reset", "/gradio_api/upload", "/gradio_api/process_recording", "/login",
)  # fmt: skip


@pytest.fixture
def place(tmp_path: Path, database_url: str) -> Place:
    return Place(tmp_path / "study", database_url)


@pytest.fixture
def client(place: Place, tmp_path: Path) -> Iterator[TestClient]:
    database = place.database()
    make_study(database, place.media)
    studio = Studio.open(
        Champion(FakeGenerator()), FlatRenderer(), environments(), tmp_path / "materials"
    )
    app = create_app(studio, Study(database, place, place.key(), "owner"))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client
    database.close()


def test_valid_json_that_no_answer_can_hold_is_refused(client: TestClient) -> None:
    headers = {"Content-Type": "application/json"}
    for route in ROUTES:
        for body in BODIES:
            answer = client.post(route, content=body, headers=headers)
            assert 400 <= answer.status_code < 500, (route, body[:60], answer.text)
            if answer.status_code == 422:
                assert isinstance(answer.json()["detail"], str), (route, body[:60])


def test_a_refusal_names_the_field_and_repeats_no_value(client: TestClient) -> None:
    body = {"token": "a-secret", "trial": "x", "choice": "left", "seconds": -7.25}
    answer = client.post("/api/study/one/votes", json=body)
    assert answer.json() == {"detail": "seconds: Input should be greater than or equal to 0"}


def test_a_nul_reaches_no_database(client: TestClient) -> None:
    token = client.post("/api/study/one/join", json={"consent": True}).json()["token"]
    for path in ("/study/%00", "/study/%00/results", "/study/media/%00"):
        assert client.get(path).status_code == 404
    owner = {"Authorization": "Bearer owner"}
    for path in ("/api/study/%00/results", "/api/study/%00/votes.csv"):
        assert client.get(path, headers=owner).status_code == 422
    for field in ("token", "trial", "choice"):
        body = {"token": token, "trial": "x", "choice": "left", "seconds": 1.0, field: "\0"}
        answer = client.post("/api/study/one/votes", json=body)
        assert 400 <= answer.status_code < 500, field


@pytest.mark.parametrize("kept", [[], ["x"], {}, 5, 1e9, True, None, "x" * 101, "a b", "\ud800"])
def test_a_page_may_send_any_json_as_its_session(kept: object) -> None:
    assert known_session(kept) == ""
    assert known_session("a-Session_1") == "a-Session_1"


def test_ten_thousand_requests_at_the_limits_that_are_served() -> None:
    """2000 at once pass, then 200 a second: of 10,000 within 5 s, 3000."""
    passed, sent = 0, 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal passed
        passed += 1

    limits = Limits(app, clock=lambda: sent / 2000)

    async def flood() -> None:
        nonlocal sent
        for _ in range(10_000):
            scope = {"type": "http", "client": ("10.0.0.7", 1), "headers": []}
            await limits(scope, _nothing, _ignored)
            sent += 1

    asyncio.run(flood())
    assert passed == pytest.approx(3000, abs=2)


def test_behind_the_proxy_nobody_gets_a_new_address_by_naming_one() -> None:
    """The manifests' setting, as uvicorn reads it: what the proxy added counts, not what it got."""
    lines = (ROOT / "manifests" / "base" / "app" / "app.env").read_text().splitlines()
    (trusted,) = [line.partition("=")[2] for line in lines if line.startswith("FORWARDED_ALLOW")]
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["client"][0])

    behind = ProxyHeadersMiddleware(app, trusted)  # type: ignore[arg-type]
    for forged in ("1.2.3.4", "5.6.7.8, 10.9.9.9"):
        headers = [(b"x-forwarded-for", f"{forged}, 203.0.113.9".encode())]
        scope = {"type": "http", "client": ("10.1.2.3", 1), "headers": headers}
        asyncio.run(behind(scope, _nothing, _ignored))  # type: ignore[arg-type]
    assert seen == ["203.0.113.9"] * 2


async def _nothing() -> Message:
    return {"type": "http.request"}


async def _ignored(message: Message) -> None:
    assert message.get("status", 429) == 429


@contextmanager
def logged() -> Iterator[io.StringIO]:
    """What the server writes into its log."""
    stream, log = io.StringIO(), logging.getLogger("apps")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield stream
    finally:
        log.removeHandler(handler)
        log.setLevel(before)


def test_refusals_are_logged_without_who_asked_for_what(place: Place) -> None:
    database = place.database()
    make_study(database, place.media)
    app = create_app(None, Study(database, place, "key", "owner"), rate=2)
    with TestClient(app, raise_server_exceptions=False) as client, logged() as stream:
        headers = {"Authorization": "Bearer forged-token"}
        client.get("/api/study/one/results", headers=headers)
        client.post("/api/study/one/state", json={"token": "forged-token.x"})
        client.get("/study/media/forged-token")
        client.post("/api/study/one/join", content=b"forged-token" * 100_000)
        while client.get("/study/forged-token").status_code != 429:
            pass
    database.close()
    found = stream.getvalue()
    assert {401, 404, 413, 429} <= {json.loads(line)["status"] for line in found.splitlines()}
    for word in ("forged-token", "testclient", "127.0.0.1"):
        assert word not in found


def test_without_a_database_the_study_says_so_in_words(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = place.database()
    make_study(database, place.media)
    app = create_app(None, Study(database, place, "key", "owner"))

    def gone() -> None:
        raise OperationalError("SELECT 'a-secret'", {"hash": "a-secret"}, Exception("10.0.0.7"))

    with TestClient(app, raise_server_exceptions=False) as client:
        monkeypatch.setattr(database, "session", gone)
        answer = client.post("/api/study/one/join", json={"consent": True})
    assert answer.status_code == 503
    assert answer.json() == {"detail": NO_DATABASE}
    assert answer.headers["retry-after"] == "5"
    database.close()


def test_errors_of_the_database_hide_what_was_written(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = place.database()
    make_study(database, place.media)
    app = create_app(None, Study(database, place, "key"))

    def broken() -> None:
        with database.engine.begin() as connection:
            connection.execute(text("SELECT * FROM nowhere WHERE x = :x"), {"x": "a-secret"})

    monkeypatch.setattr(database, "session", broken)
    with TestClient(app, raise_server_exceptions=False) as client, logged() as stream:
        answer = client.post("/api/study/one/state", json={"token": "x"})
    # SQLite's driver calls a missing table an operational error.
    assert answer.status_code in (500, 503)
    assert "database" in stream.getvalue()
    for said in (answer.text, stream.getvalue()):
        assert "a-secret" not in said
    database.close()
