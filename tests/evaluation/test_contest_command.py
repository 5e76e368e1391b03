"""`realmat evaluate` from end to end with a micro model, and its page in a real browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient
from PIL import Image
from playwright.sync_api import Browser

from components.core.materials.files import save_material
from components.core.materials.methods import slug
from components.core.platform.artifacts import new_artifact
from components.registration.stage import assemble
from pipelines.cli import main
from tests.evaluation.micro import NoConfig, write_run
from tests.evaluation.test_contest import PROMPTS, surface
from tests.services import browser as browser


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder of a comparison, and its report."""
    root = tmp_path_factory.mktemp("contest")
    run = write_run(root / "run")
    with new_artifact(root / "evaluation", "evaluation", "test", NoConfig()) as folder:
        settings = {"sampling": {"steps": 2, "guidance": 1.0}}
        (folder / "details.json").write_text(json.dumps(settings))
    model, inputs = root / "model", (run[name] for name in ("model", "lora", "reward"))
    assemble(model, "micro", *inputs, root / "evaluation")
    prompts = PROMPTS[:3]
    (root / "prompts.txt").write_text("\n".join(prompts))
    for number in range(2):
        for i, prompt in enumerate(prompts):
            # Twice as large as the model's maps: they are brought to one size.
            made = surface(prompt, 10 * number + i, baked=True)
            name = slug(prompt) + (f"-{number}" if number else "")
            save_material(made, root / "other" / name)
    photos = root / "photos"
    photos.mkdir()
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(photos / f"{i}.png")
    (photos / "torn.jpg").write_bytes(b"\xff\xd8\xff torn")
    votes = {"shares": {"Other": {"count": 6, "share": 0.6, "wilson95": [0.3, 0.8]},
                        "similar": {"count": 4, "share": 0.4, "wilson95": [0.2, 0.7]}}}  # fmt: skip
    (root / "votes.json").write_text(json.dumps(votes))
    patch = pytest.MonkeyPatch()
    patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root / 'mlflow.db'}")
    code = main(
        ["evaluate", "--model", str(model), "--external", f"Other={root / 'other'}",
         "--reward", str(model), "--reference", str(photos), "--prompts",
         str(root / "prompts.txt"), "-n", "6", "-o", str(root / "out"),
         "--votes", str(root / "votes.json")]
    )  # fmt: skip
    patch.undo()
    assert code == 0
    return root / "out", json.loads((root / "out" / "report.json").read_text())


def test_everything_that_was_asked_for_is_measured(compared: tuple[Path, dict[str, Any]]) -> None:
    report = compared[1]
    ours, other = report["methods"]
    assert other["method"] == "Other"
    wanted = (
        "reward", "gold", "clip_score", "recognised", "light_baking", "seam", "metal_as_asked",
        "contrast", "distance", "distance_within", "vendi", "kid",
    )  # fmt: skip
    for name in wanted:
        assert isinstance(other[name], float), name
    for name in ("distance", "distance_within", "vendi", "kid"):
        assert other[f"{name}_low"] <= other[name] <= other[f"{name}_high"]
    assert ours["seconds"] > 0
    assert other["seconds"] is None
    tested = {row["measure"] for row in report["differences"]}
    assert {"reward", "gold", "metal_as_asked", "contrast"} <= tested
    notes = " ".join(report["notes"])
    assert "brought to 16 × 16 pixels" in notes
    assert "not comparable with published KIDs" in notes
    assert "set aside: 1 (torn.jpg" in notes
    assert "People's preferences" in notes
    assert "names none" not in notes
    assert [row["votes"] for row in report["preferences"]] == [6, 4]
    assert (compared[0] / "preferences.csv").is_file()


def test_what_it_was_made_with_stands_in_the_report_and_in_mlflow(
    compared: tuple[Path, dict[str, Any]],
) -> None:
    folder, report = compared
    root = folder.parent
    assert report["given"] == {
        "reward": str(root / "model"), "reference": str(root / "photos"),
        "votes": str(root / "votes.json"),
    }  # fmt: skip
    assert {"processor", "packages", "accelerator"} <= set(report["environment"])
    ours, other = report["methods"]
    assert len(report["request"]["contents"][ours["method"]]) == 64
    client = MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("realmat")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.metrics["Other.reward"] == pytest.approx(other["reward"])
    assert run.data.params["reference"] == str(root / "photos")
    assert {"report.html", "report.json", "differences.csv"} <= {
        file.path for file in client.list_artifacts(run.info.run_id)
    }


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_opens_without_a_complaint(
    browser: Browser, compared: tuple[Path, dict[str, Any]], width: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 844}, offline=True)
    page = context.new_page()
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("requestfailed", lambda asked: faults.append(asked.url[:80]))
    page.goto((compared[0] / "report.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator("img").count() == 6 * 2 * 2 + 4 * 2 * 5
    text = page.inner_text("main")
    assert "60.0% [30.0%, 80.0%]" in text
    assert "_" not in text.replace(str(compared[0].parent), "")  # words, not the files' names
    broken = "[...document.images].filter((image) => !image.naturalWidth).length"
    assert page.evaluate(broken) == 0
    page.locator(".plate img").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("#zoom figcaption").all_text_contents() == [
        compared[1]["methods"][0]["method"]
    ]
    page.keyboard.press("Escape")
    assert not page.locator("#zoom").is_visible()
    page.locator("svg .hover").first.hover()
    assert "Other" in page.locator("#tip").inner_text()
    context.close()
    assert faults == []
