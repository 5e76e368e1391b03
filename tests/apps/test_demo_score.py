"""A material without a score: the model has no scorer, or the log says why it cannot score."""

import logging
import time
from pathlib import Path
from typing import NoReturn

import pytest

from apps.materials.ask import Ask
from components.core.errors import UserError
from tests.apps.studios import FakeGenerator, running


class Blind(FakeGenerator):
    """Its CLIP model cannot be fetched."""

    def realism(self, images_nhwc: object) -> NoReturn:
        raise UserError("CLIP model 'ViT-L-14|openai' could not be loaded")


@pytest.mark.parametrize("generator", [FakeGenerator("8", scorer=False), Blind("9")])
def test_it_is_said_once_why_realism_is_not_measured(
    generator: FakeGenerator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), running(tmp_path, generator) as studio:
        studio.submit("s", Ask(prompt="old red brick wall", count=2))
        while len(cards := studio.shelf.of_session("s")) < 2:
            time.sleep(0.02)
    assert [card.score for card in cards] == [None, None]
    said = [one for one in caplog.records if one.message == "realism is not measured"]
    assert len(said) == isinstance(generator, Blind)
    assert all("ViT-L-14" in vars(one)["reason"] for one in said)
