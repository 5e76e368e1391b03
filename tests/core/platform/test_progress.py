"""Progress passes items through and leaves readable lines in a log."""

import pytest

from components.core.platform.progress import track


def test_items_pass_and_the_end_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track(range(3), "rendering")) == [0, 1, 2]
    assert "rendering: done, 3 in" in capsys.readouterr().out
