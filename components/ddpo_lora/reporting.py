"""What a run says while it goes on, from one of its processes."""

from components.core.platform.tracking import Tracker
from components.ddpo_lora.history import Row
from components.ddpo_lora.metrics import flat
from components.ddpo_lora.parallel import Group


class Reporter:
    """Logs history rows and prints messages; silent in every process but the first."""

    def __init__(self, tracker: Tracker, group: Group) -> None:
        self.tracker = tracker
        self._first = group.rank == 0

    def log(self, row: Row) -> None:
        """The row's numbers, at its epoch; details after the main ones."""
        if self._first:
            metrics = flat(row)
            details = {k: v for k, v in metrics.items() if "/" in k or "_q" in k}
            main = {k: v for k, v in metrics.items() if k not in details}
            self.tracker.log_metrics(main, step=int(row["epoch"]))
            self.tracker.log_metrics(details, step=int(row["epoch"]))

    def say(self, message: str) -> None:
        """Print a line that begins with the stage's name."""
        if self._first:
            print(f"ddpo_lora: {message}", flush=True)
