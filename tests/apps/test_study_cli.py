"""`realmat study` from folders to results."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from apps.study.place import Place
from apps.study.service import Refused, Service
from pipelines.cli import main
from pipelines.preflight import check_preferences


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    given = []
    for number, name in enumerate(("ours", "theirs")):
        (tmp_path / name).mkdir()
        for pair in range(4):
            color = np.full((32, 32, 3), 50 * number + 10 * pair, np.uint8)
            Image.fromarray(color).save(tmp_path / name / f"stone-{pair}.png")
        given += ["--method", f"{name}={tmp_path / name}"]
    return given


def test_create_vote_results_export_flag(
    tmp_path: Path, folders: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", str(tmp_path / "data")]
    settings = ["--per-survey", "2", "--seconds", "0", "--catch", "0", "--repeats", "0"]
    assert main(["study", "create", "stones", *folders, *settings, *data]) == 0
    assert "4 comparisons of ours, theirs in 2 sub-surveys" in capsys.readouterr().out
    assert main(["study", "results", "stones", *data]) == 2
    assert "Nobody has voted" in capsys.readouterr().err
    place = Place(tmp_path / "data")
    service = Service(place.database(), place.key())
    state = service.join("stones")
    token = state["token"]
    while not state["done"]:
        state = service.vote("stones", token, state["trial"], "left", 1.0)
    assert main(["study", "results", "stones", "--json", *data]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["votes"] == 2
    assert set(found["shares"]) == {"ours", "theirs"}
    for suffix in (".csv", ".parquet"):
        output = tmp_path / f"votes{suffix}"
        assert main(["study", "export", "stones", "-o", str(output), *data]) == 0
    assert main(["study", "results", "--votes", str(tmp_path / "votes.csv"), "--json"]) == 0
    capsys.readouterr()
    table = pd.read_parquet(tmp_path / "votes.parquet")
    assert len(table) == 2
    pairs = tmp_path / "pairs.csv"
    assert main(["study", "export", "stones", "--preferences", "-o", str(pairs), *data]) == 0
    assert list(pd.read_csv(pairs)["preferred"]) == list(table["choice"])
    images = tmp_path / "pairs.parquet"
    assert main(["study", "export", "stones", "--preferences", "-o", str(images), *data]) == 0
    check_preferences(str(images))
    for row in pd.read_parquet(images).itertuples():
        for method, file in ((row.preferred, row.preferred_image), (row.other, row.other_image)):
            grey = int(np.asarray(Image.open(io.BytesIO(file)))[0, 0, 0])
            assert ("ours", "theirs")[grey // 50] == method
    assert main(["study", "flag", "stones", table["participant"][0], *data]) == 0
    capsys.readouterr()
    assert main(["study", "results", "stones", *data]) == 0
    said = capsys.readouterr().out
    assert "by category" in said  # "stone 0" and its like name one
    assert "by prompt" in said


def test_a_closed_study_takes_nobody_new(tmp_path: Path, folders: list[str]) -> None:
    data = ["--data", str(tmp_path / "data")]
    assert main(["study", "create", "stones", *folders, "--seconds", "0", *data]) == 0
    place = Place(tmp_path / "data")
    service = Service(place.database(), place.key())
    state = service.join("stones")
    assert state["question"] == "Which material looks most realistic?"
    assert main(["study", "close", "stones", *data]) == 0
    with pytest.raises(Refused, match="closed"):
        service.join("stones")
    assert "trial" in service.vote("stones", state["token"], state["trial"], "left", 1.0)
    assert main(["study", "close", "stones", "--reopen", *data]) == 0
    assert "trial" in service.join("stones")
    assert main(["study", "close", "nothing", *data]) == 2


def test_three_methods_are_also_asked_for_the_text(tmp_path: Path, folders: list[str]) -> None:
    data = ["--data", str(tmp_path / "data")]
    three = [*folders, "--method", f"third={tmp_path / 'ours'}"]
    assert main(["study", "create", "stones", *three, *data]) == 0
    place = Place(tmp_path / "data")
    state = Service(place.database(), place.key()).join("stones")
    assert state["question"] == "Which material is the most realistic one that follows the text?"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("create x", "either --evaluation DIR or several"),
        ("create x --evaluation a --method b=c", "either --evaluation DIR or several"),
        ("create x --method b=c", "1 methods cannot be compared"),
        ("create x --method bc --method d=e", "not of the form NAME=DIR"),
        ("create x --method b=/nowhere --method d=/nowhere", "is not a folder"),
        ("create ../x --method b=c --method d=e", "cannot name a study"),
        ("create x --evaluation /nowhere", "nowhere"),
        ("create x --method b=c --method d=e --catch 2", "from 0 to 0.5"),
        ("results", "Give the name of a study"),
        ("results x", "There is no study 'x'"),
        ("results x --database nonsense", "no address of a database"),
        ("export x -o votes.txt", "There is no study 'x'"),
        ("flag x y", "no participant's number"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    tmp_path: Path, arguments: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["study", *arguments.split(), "--data", str(tmp_path / "data")]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert len(said.strip().splitlines()) == 1
