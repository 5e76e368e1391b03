"""The study over HTTP: what it answers, and that hostile requests change nothing."""

import asyncio
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from fastapi.testclient import TestClient

from apps.limits import Limits
from apps.server import Study, create_app
from apps.study.database import Database
from apps.study.place import Place
from apps.study.schema import Medium, Vote
from tests.apps.studies import make_study

OWNER = {"Authorization": "Bearer owner"}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "study")


@pytest.fixture
def client(place: Place) -> Iterator[TestClient]:
    database = place.database()
    make_study(database, place.media)
    app = create_app(None, Study(database, place, place.key(), "owner"))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client
    database.close()


def votes(place: Place) -> int:
    database = place.database()
    with database.session() as session:
        count = session.query(Vote).count()
    database.close()
    return count


def join(client: TestClient) -> dict[str, object]:
    return dict(client.post("/api/study/one/join", json={"consent": True}).json())


def test_a_sub_survey_from_consent_to_results(client: TestClient, place: Place) -> None:
    assert client.get("/study/one").status_code == 200
    assert [s["name"] for s in client.get("/api/study").json()] == ["one"]
    state = join(client)
    token = state["token"]
    cast = 0
    while not state["done"]:
        for medium in state["media"]:
            picture = client.get(f"/study/media/{medium}")
            assert picture.headers["content-type"] == "image/png"
            assert "filename" not in picture.headers.get("content-disposition", "")
        body = {"token": token, "trial": state["trial"], "choice": "right", "seconds": 1.0}
        answer = client.post("/api/study/one/votes", json=body)
        assert answer.status_code == 200
        state = answer.json()
        cast += 1
    assert votes(place) == cast
    found = client.get("/api/study/one/results", headers=OWNER).json()
    assert found["votes"] == 4
    assert sum(share["count"] for share in found["shares"].values()) == 4
    table = client.get("/api/study/one/votes.csv", headers=OWNER).text.splitlines()
    assert table[0].startswith("study,participant,trial,choice")
    assert len(table) == cast  # a header, no practice
    parquet = client.get("/api/study/one/votes.parquet", headers=OWNER).content
    assert len(pd.read_parquet(io.BytesIO(parquet))) == cast - 1
    assert f"realmat_votes_total {cast}.0" in client.get("/metrics").text
    assert client.get("/readyz").json() == {"status": "ready"}


def test_pages_run_only_their_own_scripts_and_tell_nobody(client: TestClient) -> None:
    for path in ("/study/one", "/study/one/results"):
        answer = client.get(path)
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "http://" not in answer.text
        assert "https://" not in answer.text
    for file in ("study.js", "study.css", "results.js", "results.css"):
        assert client.get(f"/study/assets/{file}").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "owner "}, {"Authorization": ""}],
)
def test_results_are_for_the_owner(client: TestClient, headers: dict[str, str]) -> None:
    for path in ("results", "votes.csv", "votes.parquet"):
        answer = client.get(f"/api/study/one/{path}", headers=headers)
        assert answer.status_code == 401
        assert "shares" not in answer.text


def test_without_an_owners_token_nobody_is_the_owner(place: Place) -> None:
    database = place.database()
    make_study(database, place.media)
    with TestClient(create_app(None, Study(database, place, "key"))) as client:
        assert client.get("/api/study/one/results").status_code == 401
        headers = {"Authorization": "Bearer "}
        assert client.get("/api/study/one/results", headers=headers).status_code == 401
    database.close()


HOSTILE = (
    "..%2f..%2fstudy.db", "%2e%2e/secret.key", "/etc/passwd", "%2fetc%2fpasswd",
    "..\\secret.key", "a" * 500, "%00", "' OR 1=1 --", "study.db",
)  # fmt: skip


@pytest.mark.parametrize("path", HOSTILE)
def test_no_file_but_media_can_be_fetched(client: TestClient, path: str) -> None:
    for route in ("/study/media/", "/study/assets/", "/study/assets/../"):
        answer = client.get(f"{route}{path}")
        assert answer.status_code in (400, 404, 405), answer.text
        assert b"root:" not in answer.content
        assert b"SQLite" not in answer.content


def test_a_medium_whose_file_is_gone_is_not_found(client: TestClient, place: Place) -> None:
    database = place.database()
    with database.session() as session:
        medium = session.query(Medium).first()
        assert medium is not None
        (place.media / medium.file).unlink()
        assert client.get(f"/study/media/{medium.id}").status_code == 404
    database.close()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("join", {"consent": False}),
        ("join", {"consent": "yes"}),
        ("join", {"consent": True, "token": "x" * 5000}),
        ("join", {"consent": True, "admin": True}),
        ("votes", {"token": "x", "trial": "y", "choice": "left", "seconds": -1}),
        ("votes", {"token": "x", "trial": "y", "choice": "left", "seconds": "NaN"}),
        ("votes", {"token": "x", "trial": ["y"], "choice": "left", "seconds": 1}),
        ("votes", {"token": "x", "trial": "y", "choice": "<script>" * 9, "seconds": 1}),
        ("state", {}),
        ("state", []),
    ],
)
def test_bodies_that_make_no_sense(
    client: TestClient, place: Place, path: str, body: object
) -> None:
    answer = client.post(f"/api/study/one/{path}", json=body)
    assert answer.status_code == 422
    assert votes(place) == 0
    not_json = {"Content-Type": "application/json"}
    broken = client.post(f"/api/study/one/{path}", content=b"\xff{", headers=not_json)
    assert broken.status_code in (400, 422)


def test_large_bodies_are_refused(client: TestClient) -> None:
    large = json.dumps({"consent": True, "token": "x" * 10_000_000})
    assert client.post("/api/study/one/join", content=large).status_code == 413

    def endless() -> Iterator[bytes]:
        for _ in range(20):
            yield b"x" * 100_000

    assert client.post("/api/study/one/join", content=endless()).status_code == 413


def test_a_flood_from_one_address_is_refused(place: Place) -> None:
    database = place.database()
    study = Study(database, place, "key")
    with TestClient(create_app(None, study, rate=10)) as client:
        answers = [client.get("/api/study") for _ in range(1000)]
    codes = [answer.status_code for answer in answers]
    assert codes[:50] == [200] * 50
    assert codes.count(429) > 500
    assert answers[-1].json()["detail"].startswith("Too many requests")
    database.close()


def test_one_address_does_not_use_up_anothers_share() -> None:
    seen: list[int] = []

    async def app(scope: object, receive: object, send: object) -> None:
        seen.append(200)

    now = 0.0
    limits = Limits(app, rate=1.0, burst=3.0, clock=lambda: now)  # type: ignore[arg-type]

    async def ask(address: str) -> int:
        sent: list[dict[str, object]] = []

        async def send(message: dict[str, object]) -> None:
            sent.append(message)

        before = len(seen)
        scope = {"type": "http", "client": (address, 1), "headers": []}
        await limits(scope, None, send)  # type: ignore[arg-type]
        return 200 if len(seen) > before else int(str(sent[0]["status"]))

    async def story() -> None:
        nonlocal now
        assert [await ask("a") for _ in range(4)] == [200, 200, 200, 429]
        assert await ask("b") == 200
        now = 2.0
        assert [await ask("a") for _ in range(3)] == [200, 200, 429]

    asyncio.run(story())


def test_a_database_that_is_gone_is_told_by_readyz(place: Place) -> None:
    class Gone(Database):
        def answers(self) -> bool:
            return False

    database = place.database()
    with TestClient(create_app(None, Study(Gone(database.engine), place, "k"))) as client:
        assert client.get("/readyz").status_code == 503
        assert client.get("/healthz").status_code == 200
    database.close()


def test_the_signing_key_is_made_once_and_kept_to_its_owner(tmp_path: Path) -> None:
    place = Place(tmp_path / "new")
    key = place.key()
    assert len(key) > 30
    assert Place(tmp_path / "new").key() == key
    assert (tmp_path / "new" / "secret.key").stat().st_mode & 0o077 == 0
