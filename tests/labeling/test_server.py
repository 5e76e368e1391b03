"""Against a real Label Studio server: push, judge, pull, order, images, faults, the whole stage."""

from __future__ import annotations

import io
import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import httpx
import numpy as np
import pytest
from moto.server import ThreadedMotoServer
from PIL import Image
from playwright.sync_api import Browser, expect

from components.annotation_sync.config import Config
from components.annotation_sync.doubt import Doubt
from components.annotation_sync.stage import write
from components.annotation_sync.waiting import Clock
from components.core.errors import UserError
from components.core.platform.artifacts import open_artifact
from components.core.platform.tracking import NullTracker
from labeling.annotations import LABELS, SETS, Judgements, SetName, Task
from labeling.label_studio import LabelStudioSource, connect
from labeling.rehearsal import Rehearsal
from labeling.server import Server
from labeling.simulated import SimulatedAnnotator
from pipelines.cli import main
from tests.labeling.people import Person, key_of

pytestmark = pytest.mark.long

NAMES: tuple[SetName, ...] = SETS


def tasks(count: int, seed: int = 0, size: int = 16) -> list[Task]:
    """Half of each set, every fifth of them of the random share."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    return [
        Task(NAMES[i % 2], i, image, ("brick", "moss")[i % 3 == 0], i % 5 == 0)
        for i, image in enumerate(images)
    ]


def source(server: Server, project: str, images: str = "", **more: float) -> LabelStudioSource:
    environment = {"LABEL_STUDIO_API_KEY": server.credentials.token}
    return connect(server.address(project, images), environment=environment, **more)


@pytest.fixture(scope="module")
def people(server: Server) -> tuple[Person, Person]:
    return Person(server, "ann@example.org"), Person(server, "bea@example.org")


def numbers(of: LabelStudioSource) -> dict[str, int]:
    """Numbers of the server's tasks by key."""
    return {record.key: record.id for record in of.records()}


def test_two_people_judge_and_every_word_comes_back(
    server: Server, people: tuple[Person, Person]
) -> None:
    ann, bea = people
    offered, of = tasks(6), source(server, "two people", overlap=1.0)
    assert of.push(offered) == 6
    assert of.push(offered) == 0
    assert of.push(tasks(8)[:2] + tasks(3, seed=9)) == 3 + 2 - 2
    number = {item: numbers(of)[key_of(offered, item)] for item in range(6)}
    first = ann.judge(number[0], "realistic")
    bea.judge(number[0], "unrealistic")
    ann.judge(number[1], None)
    bea.judge(number[2], "can't tell")
    bea.judge(number[2], "realistic")  # anew: the latest word counts
    ann.correct(first, "unrealistic")
    found = of.pull(offered)
    assert found == of.pull(offered)
    said = sorted((a.item, a.set, a.label, a.random) for a in found.annotations)
    assert said == [
        (0, "photographs", "unrealistic", True),
        (0, "photographs", "unrealistic", True),
        (2, "photographs", "realistic", False),
    ]
    assert len({a.annotator for a in found.annotations if a.item == 0}) == 2
    assert all("@" not in a.annotator for a in found.annotations)
    assert [(s.item, s.set) for s in found.skipped] == [(1, "generated")]
    assert of.pull(tasks(1, seed=5)) == type(found)()


def test_the_doubtful_come_first_and_the_order_can_change(
    server: Server, people: tuple[Person, Person]
) -> None:
    """The server draws from the first few, so that people who work at once do not meet."""
    of, offered = source(server, "an order", overlap=0.0), tasks(40)
    of.push(offered)
    item = {numbers(of)[task.key]: task.item for task in offered}
    project, left = of.project(), [task.item for task in offered]
    few = 1 + len(list(of.client.users.list()))
    for version, falling in (("v1", True), ("v2", False)):
        scores = [(39 - t.item if falling else t.item) / 40 for t in offered]
        of.order(offered, scores, version)
        for _ in range(5):
            number = people[0].next(project)
            assert number is not None
            people[0].judge(number, "realistic")
            assert item[number] in sorted(left, reverse=falling)[:few]
            left.remove(item[number])


def test_no_machine_speaks_to_the_annotator(server: Server) -> None:
    offered, of = tasks(2), source(server, "no opinion")
    of.push(offered)
    of.order(offered, [0.1, 0.2], "v1")
    headers = {"Authorization": f"Token {server.credentials.token}"}
    base = f"http://127.0.0.1:{server.port}"
    shown = httpx.get(f"{base}/api/projects/{of.project()}/next", headers=headers).json()
    assert all(prediction["result"] == [] for prediction in shown["predictions"])
    assert set(shown["data"]) == {"image", "category"}  # not the set


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    cloud = ThreadedMotoServer(port=0)
    cloud.start()
    host, port = cloud.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "writer",
        "AWS_SECRET_ACCESS_KEY": "secret of the writer", "AWS_DEFAULT_REGION": "us-east-1",
        "LABEL_STUDIO_S3_ACCESS_KEY_ID": "reader",
        "LABEL_STUDIO_S3_SECRET_ACCESS_KEY": "secret of the reader",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="labels")
    yield "s3://labels/to/judge"
    cloud.stop()


@pytest.mark.parametrize("where", ["inline", "local", "s3", "s3 through the server"])
def test_the_image_reaches_the_browser_unchanged(
    server: Server, where: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = {"inline": "inline", "local": ""}.get(where)
    if where == "s3 through the server":
        monkeypatch.setenv("LABEL_STUDIO_S3_PRESIGN", "false")
    if images is None:
        images = request.getfixturevalue("bucket")
    offered, of = tasks(3), source(server, f"images {where}", images)
    of.push(offered)
    of.push(offered)  # attaches no second storage
    headers = {"Authorization": f"Token {server.credentials.token}"}
    base = f"http://127.0.0.1:{server.port}"
    shown = httpx.get(f"{base}/api/tasks/{numbers(of)[offered[1].key]}", headers=headers).json()
    address = shown["data"]["image"]
    with httpx.Client(base_url=base, headers=headers, timeout=60) as http:
        rehearsal = Rehearsal(of.client, http, SimulatedAnnotator(0, 0.0))
        np.testing.assert_array_equal(rehearsal._image(address), offered[1].image)
        if images.startswith("s3:"):  # where the browser is sent: to S3's server, or nowhere else
            sent_on = http.get(address).is_redirect
            assert sent_on == (where == "s3")
    if where == "local":
        content = httpx.get(f"{base}{address}")
        assert "image" not in content.headers["content-type"]  # strangers see the log-in page
    storages = {"local": of.client.import_storage.local, "s3": of.client.import_storage.s3}
    if where != "inline":
        assert len(storages[where.split()[0]].list(project=of.project())) == 1


def test_a_wrong_key_a_missing_project_and_a_silent_server_are_sentences(
    server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = {"LABEL_STUDIO_API_KEY": "f" * 40}
    with pytest.raises(UserError, match="refused the key") as refused:
        connect(server.address("x"), environment=wrong, patience=5).check()
    assert "f" * 40 not in str(refused.value)
    with pytest.raises(UserError, match="no project 'never made'"):
        source(server, "never made").records()
    of = source(server, "to be deleted")
    of.push(tasks(2))
    of.client.projects.delete(id=of.project())
    with pytest.raises(UserError, match="no project 'to be deleted'"):
        of.pull(tasks(2))
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "k" * 40)
    assert main(["label", "status", "--labels", "label-studio://127.0.0.1:9/x"]) == 2
    error = capsys.readouterr().err
    assert "cannot be reached" in error
    assert "k" * 40 not in error
    assert "Traceback" not in error


def test_nothing_is_lost_when_the_server_is_killed(server: Server) -> None:
    person = Person(server, "power@example.org")
    offered, of = tasks(40), source(server, "power cut", patience=120.0)
    of.push(offered[:20])
    labels = {}
    for task in offered[:10]:
        labels[task.item] = ("realistic", "unrealistic")[task.item % 2]
        person.judge(numbers(of)[task.key], labels[task.item])  # type: ignore[arg-type]
    found: list[Judgements] = []
    over = threading.Event()

    def pull_on_and_on() -> None:
        while not over.is_set():
            found.append(of.pull(offered))

    threads = [
        threading.Thread(target=pull_on_and_on),
        threading.Thread(target=lambda: of.push(offered)),
    ]
    threads[0].start()
    while len(found) < 2:
        time.sleep(0.01)
    server.kill()
    before = len(found)
    threads[1].start()
    time.sleep(1)  # both are asking a server that is not there
    server.start()
    threads[1].join(180)
    while len(found) <= before + 1:
        time.sleep(0.01)
    over.set()
    threads[0].join(180)
    # Whole before and after, and never half of it or nothing in between.
    assert all({a.item: a.label for a in one.annotations} == labels for one in found)
    assert len(of.records()) == len(numbers(of)) == 40
    assert of.push(offered) == 0


def test_the_stage_waits_for_people_and_gets_what_they_say(server: Server, tmp_path: Path) -> None:
    """Unattended: the simulated annotator judges through the server, as the oracle does at once."""
    config = Config(
        items_per_set=12, minimum_annotations=12, minimum_per_class=0, reorder_every=8,
        random_share=0.25,
    )  # fmt: skip
    offered, of = tasks(24, size=32), source(server, "the whole stage", overlap=0.0)
    annotator = SimulatedAnnotator(3, 0.3, 0.5)
    doubt = Doubt(config, offered, lambda x: x.reshape(len(x), -1)[:, :40].astype(np.float32))
    headers = {"Authorization": f"Token {server.credentials.token}"}
    base, sleeps = f"http://127.0.0.1:{server.port}", []

    def judge_meanwhile(seconds: float) -> None:
        sleeps.append(seconds)
        with httpx.Client(base_url=base, headers=headers, timeout=60) as http:
            Rehearsal(of.client, http, annotator).judge(of.project(), 5)

    clock = Clock(now=lambda: 0.0, sleep=judge_meanwhile)
    write(config, offered, of, doubt, clock, output=tmp_path / "out", tracker=NullTracker())
    folder = open_artifact(tmp_path / "out", "annotations")
    rows = [json.loads(line) for line in (folder / "annotations.jsonl").read_text().splitlines()]
    assert len(sleeps) == 5
    expected = {(a.set, a.item): a.label for a in annotator.pull(offered).annotations}
    assert {(row["set"], row["item"]): row["label"] for row in rows} == expected
    assert of.client.projects.get(id=of.project()).model_version == "after 20 judgements"


def test_the_commands(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("LABEL_STUDIO_API_KEY_FILE", str(server.folder / "api-key"))
    monkeypatch.delenv("LABEL_STUDIO_API_KEY", raising=False)
    address = str(server.address("by command"))
    assert main(["label", "push", "laptop", "--output", str(tmp_path), "--labels", address]) == 2
    assert "--until photo_retrieval" in capsys.readouterr().err
    source(server, "by command").push(tasks(6))
    assert main(["label", "rehearse", "--labels", address, "-n", "4"]) == 0
    capsys.readouterr()
    assert main(["label", "status", "--labels", address, "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert {name: part["images"] for name, part in status["sets"].items()} == {
        "generated": 3, "photographs": 3,
    }  # fmt: skip
    assert sum(part["judged"] for part in status["sets"].values()) == 4
    assert status["agreement"]["annotators"][0]["judged"] == 4
    file = tmp_path / "judgements.jsonl"
    assert main(["label", "pull", "--labels", address, "-o", str(file)]) == 0
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(rows) == 4
    assert {row["key"] for row in rows} <= {task.key for task in tasks(6)}


def test_somebody_labels_with_the_keyboard(
    server: Server, browser: Browser, tmp_path: Path
) -> None:
    offered, of = tasks(3, size=64), source(server, "keyboard")
    of.push(offered)
    of.order(offered, [0.3, 0.1, 0.2], "v1")
    base = f"http://127.0.0.1:{server.port}"
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(60_000)
    page.goto(f"{base}/user/login/")
    page.fill("input[name=email]", server.credentials.email)
    page.fill("input[name=password]", server.credentials.password)
    page.keyboard.press("Enter")
    expect(page).not_to_have_url(re.compile("login"))
    page.goto(f"{base}/projects/{of.project()}/data")
    page.get_by_role("button", name="Label All Tasks").click()
    expect(page.get_by_text("Before you begin, please note").first).to_be_visible(timeout=60_000)
    page.keyboard.press("Escape")
    picture = page.locator("img[alt=image]").first
    expect(picture).to_be_visible(timeout=60_000)
    read = (
        "image => fetch(image.src).then((r) => r.arrayBuffer()).then((b) => [...new Uint8Array(b)])"
    )
    png = bytes(picture.evaluate(read))
    shown = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    same = [np.array_equal(shown, task.image) for task in offered]
    assert same.index(True) == 1  # the one with the lowest score
    large = picture.bounding_box()
    assert large is not None
    assert large["width"] >= 400
    for choice in LABELS:
        expect(page.get_by_text(choice, exact=False).first).to_be_in_viewport()
    page.screenshot(path=tmp_path / "labeling.png")
    page.keyboard.press("2")
    page.keyboard.press("Control+Enter")
    deadline = time.monotonic() + 60
    while not (found := of.pull(offered).annotations):  # what counts is what the server keeps
        assert time.monotonic() < deadline, "the judgement never reached the server"
        page.wait_for_timeout(200)
    (only,) = found
    assert (only.item, only.label) == (1, "unrealistic")
    assert only.seconds is not None
    page.close()
