"""The demo with a generator and a renderer of a few lines, through HTTP."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from starlette.testclient import TestClient

from apps.demo import MAX_COUNT, Demo
from apps.server import create_app
from components.core.errors import UserError
from components.core.generator import ModelVersion
from components.core.materials.material import Material
from tests.evaluation.micro import FlatRenderer, environments


class FakeGenerator:
    """Materials of one grey, which is the seed's."""

    version = ModelVersion("realmat", "3", "champion")

    def generate(
        self, prompts: Sequence[str], seeds: Sequence[int], *, tileable: bool
    ) -> list[Material]:
        """One flat material for each seed."""
        return [self._flat(p, s, tileable) for p, s in zip(prompts, seeds, strict=True)]

    def _flat(self, prompt: str, seed: int, tileable: bool) -> Material:
        grey = np.full((8, 8), seed / 10, np.float32)
        albedo = np.repeat(grey[..., None], 3, axis=-1)
        known = {"seed": seed, "tileable": tileable}
        return Material(albedo, grey, grey, grey, caption=prompt, metadata=known)

    def realism(self, images_nhwc: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """The mean brightness."""
        return images_nhwc.mean(axis=(1, 2, 3)).astype(np.float32) / 255


class WithoutScorer(FakeGenerator):
    """A model that carries no reward."""

    def realism(self, images_nhwc: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Refuses."""
        raise UserError("no scorer")


@pytest.fixture
def demo(tmp_path: Path) -> Demo:
    return Demo(FakeGenerator(), FlatRenderer(), environments(), tmp_path)


@pytest.fixture
def client(demo: Demo) -> Iterator[TestClient]:
    with TestClient(create_app(demo)) as client:
        yield client


def test_health_names_the_model(client: TestClient) -> None:
    answer = client.get("/healthz")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok", "model": "realmat", "version": "3", "alias": "champion"
    }  # fmt: skip


def test_the_page_offers_the_inputs_and_names_the_model(client: TestClient) -> None:
    page = client.get("/").text
    for text in ("RealMat", "Tileable", "Download ZIP", "realmat version 3 (champion)"):
        assert text in page
    assert "fonts.googleapis.com" not in page


def test_a_call_through_the_queue_returns_materials_and_a_zip(client: TestClient) -> None:
    data = ["a <b>brick</b> wall", 2, 5, True, "flat 1.0"]
    event = client.post("/gradio_api/call/generate", json={"data": data}).json()["event_id"]
    answer = client.get(f"/gradio_api/call/generate/{event}").text
    assert "event: complete" in answer
    assert "realism 0.498" in answer  # (127 of 255)
    assert "a &lt;b&gt;brick&lt;/b&gt; wall" in answer
    assert ".zip" in answer


def test_the_zip_holds_the_maps_of_every_seed(demo: Demo) -> None:
    html, file = demo.make("brick wall", 2, 5, True, "flat 0.6")
    assert html.count("<article>") == 2
    with zipfile.ZipFile(io.BytesIO(file.read_bytes())) as archive:
        names = archive.namelist()
        assert b'"seed": 6' in archive.read("seed-6/material.json")
    maps = ("albedo", "height", "metallic", "normal", "roughness")
    expected = [f"seed-{s}/{n}.png" for s in (5, 6) for n in maps]
    assert sorted(n for n in names if n.endswith(".png")) == expected


def test_light_changes_the_rendering_but_not_the_maps(demo: Demo) -> None:
    bright, dark = (demo.make("brick", 1, 5, False, f"flat {x}")[0] for x in (1.0, 0.6))
    assert bright.split('class="maps"')[1] == dark.split('class="maps"')[1]
    assert bright != dark


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (("", 1, 0, True, "flat 1.0"), "the prompt is empty"),
        (("x" * 10_000, 1, 0, True, "flat 1.0"), "10000 characters"),
        (("brick", MAX_COUNT + 1, 0, True, "flat 1.0"), "choose from 1 to"),
        (("brick", 1, -1, True, "flat 1.0"), "seed -1"),
        (("brick", 1, 0, True, "no such light"), "no light called"),
    ],
)
def test_bad_input_is_refused_in_words(
    demo: Demo, values: tuple[str, int, int, bool, str], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        demo.make(*values)


def test_a_model_without_a_scorer_shows_no_score(tmp_path: Path) -> None:
    demo = Demo(WithoutScorer(), FlatRenderer(), environments(), tmp_path)
    html, _ = demo.make("brick", 1, 5, False, "flat 1.0")
    assert "realism" not in html
    assert "<article>" in html
