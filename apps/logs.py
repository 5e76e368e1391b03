"""Logs for machines: one JSON object a line, without a word about who asked."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any, TextIO

_PLAIN = frozenset(vars(logging.makeLogRecord({})))


class JsonLines(logging.Formatter):
    """time, level, event and whatever the record carries as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        words: dict[str, Any] = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        words.update({k: v for k, v in vars(record).items() if k not in _PLAIN and k != "taskName"})
        if record.exc_info and record.exc_info[0] is not None:
            words["error"] = self.formatException(record.exc_info)
        return json.dumps(words, ensure_ascii=False, default=str)


def log_as_json(stream: TextIO = sys.stderr) -> None:
    """Send this project's messages, and warnings of others, to `stream` as JSON lines."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("apps").setLevel(logging.INFO)
