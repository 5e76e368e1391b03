"""What of a pipeline's output is shown, and that none of it is lost."""

import contextlib
import io
import logging
import sys
import threading
from pathlib import Path

import pytest

from pipelines.local import Screen

KFP = "07:00:00.000 - INFO - Executing task 'sdxl-finetune'\n"
STAGE = "    sdxl_finetune step 10: loss 0.1\n"


def test_stages_are_shown_and_everything_is_logged(tmp_path: Path) -> None:
    shown, log = io.StringIO(), tmp_path / "run.log"
    screen = Screen(shown, log)
    for text in (KFP, STAGE[:10], STAGE[10:]):
        screen.write(text)
    assert shown.getvalue() == "  0:00  sdxl_finetune step 10: loss 0.1\n"
    assert log.read_text() == KFP + STAGE


def test_a_library_may_log_from_a_thread_when_the_pipeline_has_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its handler keeps the stream that was there when it was made."""
    shown, log = io.StringIO(), tmp_path / "run.log"
    with contextlib.redirect_stdout(Screen(shown, log)):
        handler = logging.StreamHandler(sys.stdout)
    late = logging.makeLogRecord({"msg": "retrying"})
    thread = threading.Thread(target=handler.handle, args=(late,))
    thread.start()
    thread.join()
    assert log.read_text() == "retrying\n"
    assert shown.getvalue() == ""
    assert capsys.readouterr().err == ""
