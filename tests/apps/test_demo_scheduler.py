"""Fairness, batches, progress, cancelling: what many people at one model expect of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from apps.materials.champion import Generator
from apps.materials.scheduler import ENDED, FAILED, Full, Job, Sample, Scheduler, View
from components.core.errors import UserError
from components.core.materials.material import Material
from tests.apps.studios import STEPS, FakeGenerator


def finish(generator: Generator, sample: Sample, material: Material, session: str) -> str:
    if sample.seed == 13:
        raise RuntimeError("a secret path")
    return f"{session}-{sample.seed}-{sample.adapted}"


def samples(*seeds: int, tileable: bool = True, adapted: bool = True) -> list[Sample]:
    return [Sample("brick", seed, tileable, adapted, "sun") for seed in seeds]


@pytest.fixture
def generator() -> FakeGenerator:
    return FakeGenerator()


@pytest.fixture
def scheduler(generator: FakeGenerator) -> Scheduler:
    return Scheduler(lambda: generator, finish, batch=4, queue=20, per_session=10)


def ended(scheduler: Scheduler, job: Job, seconds: float = 10) -> View:
    deadline = time.monotonic() + seconds
    view = scheduler.view(job)
    while view.state not in ENDED:
        assert time.monotonic() < deadline, view
        view = scheduler.wait(job, view.version, 1)
    return view


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_made_materials_come_in_the_order_they_were_asked_for(scheduler: Scheduler) -> None:
    job = scheduler.submit("a", samples(5, 3, 9, 1, 2))
    scheduler.start()
    view = ended(scheduler, job)
    assert view.state == "done"
    assert view.progress == 1
    assert view.made == tuple(f"a-{seed}-True" for seed in (5, 3, 9, 1, 2))
    scheduler.stop()


def test_nobody_waits_for_all_of_somebody_elses(
    scheduler: Scheduler, generator: FakeGenerator
) -> None:
    scheduler.submit("many", samples(*range(9)))
    scheduler.submit("few", samples(100))
    scheduler.submit("others", samples(200, 201))
    scheduler.start()
    until(lambda: len(generator.batches) == 3)
    scheduler.stop()
    first = [seed for _, seed, *_ in generator.batches[0]]
    assert first == [0, 100, 200, 1]


def test_a_batch_holds_one_kind(scheduler: Scheduler, generator: FakeGenerator) -> None:
    jobs = [
        scheduler.submit("a", samples(1, 2) + samples(1, 2, adapted=False)),
        scheduler.submit("b", samples(3, tileable=False)),
    ]
    scheduler.start()
    for job in jobs:
        assert ended(scheduler, job).state == "done"
    kinds = [{tuple(entry[2:]) for entry in batch} for batch in generator.batches]
    assert all(len(kind) == 1 for kind in kinds)
    assert len(generator.batches) == 3
    scheduler.stop()


def test_turns_go_round(scheduler: Scheduler, generator: FakeGenerator) -> None:
    """With more people than a batch holds, the ones left out are first in the next."""
    for name in range(6):
        scheduler.submit(str(name), samples(name, name + 10))
    scheduler.start()
    until(lambda: sum(len(batch) for batch in generator.batches) == 12)
    scheduler.stop()
    first_eight = [seed for batch in generator.batches[:2] for _, seed, *_ in batch]
    assert set(first_eight) >= set(range(6))  # everybody's first is among the first eight


def test_progress_counts_steps_and_never_falls(
    scheduler: Scheduler, generator: FakeGenerator
) -> None:
    job = scheduler.submit("a", samples(*range(6)))
    seen = [scheduler.view(job)]
    scheduler.start()
    while seen[-1].state not in ENDED:
        seen.append(scheduler.wait(job, seen[-1].version, 1))
    progress = [view.progress for view in seen]
    assert progress == sorted(progress)
    assert (progress[0], progress[-1]) == (0, 1)
    assert {view.step for view in seen} <= set(range(STEPS + 1))
    scheduler.stop()


def test_places_in_the_queue_are_told(scheduler: Scheduler, generator: FakeGenerator) -> None:
    generator.gate.clear()
    jobs = [scheduler.submit(name, samples(1, 2, 3, 4)) for name in "ab"]
    scheduler.start()
    until(lambda: len(generator.batches) == 1)
    late = scheduler.submit("c", samples(5))
    # Two of a and two of b are in the batch; a and b give one each before c's turn.
    assert scheduler.view(late).ahead == 2
    assert scheduler.view(late).state == "waiting"
    generator.gate.set()
    assert all(ended(scheduler, job).state == "done" for job in (*jobs, late))
    assert scheduler.waiting == 0
    scheduler.stop()


def test_cancelling_the_only_job_ends_its_batch_between_two_steps(
    scheduler: Scheduler, generator: FakeGenerator
) -> None:
    generator.gate.clear()
    job = scheduler.submit("a", samples(1, 2, 3, 4, 5, 6))
    scheduler.start()
    until(lambda: len(generator.batches) == 1)
    scheduler.cancel(job)
    generator.gate.set()
    view = ended(scheduler, job)
    assert (view.state, view.made) == ("cancelled", ())
    after = scheduler.submit("a", samples(7))
    assert ended(scheduler, after).made == ("a-7-True",)
    assert len(generator.batches) == 2
    scheduler.stop()


def test_cancelling_leaves_companions_of_the_batch_alone(
    scheduler: Scheduler, generator: FakeGenerator
) -> None:
    generator.gate.clear()
    gone, kept = scheduler.submit("a", samples(1)), scheduler.submit("b", samples(2))
    scheduler.start()
    until(lambda: len(generator.batches) == 1)
    scheduler.cancel(gone)
    generator.gate.set()
    assert ended(scheduler, kept).made == ("b-2-True",)
    assert ended(scheduler, gone).made == ()
    scheduler.stop()


def test_a_full_queue_refuses_and_says_so(scheduler: Scheduler) -> None:
    scheduler.submit("a", samples(*range(10)))
    with pytest.raises(Full, match="10 of your materials"):
        scheduler.submit("a", samples(11))
    scheduler.submit("b", samples(*range(10)))
    with pytest.raises(Full, match="too many people"):
        scheduler.submit("c", samples(1))


@pytest.mark.parametrize(
    ("error", "words"),
    [(RuntimeError("a secret path"), FAILED), (UserError("too long: shorten it"), "too long")],
)
def test_a_failure_is_told_in_words_and_the_next_job_is_served(
    scheduler: Scheduler, generator: FakeGenerator, error: Exception, words: str
) -> None:
    generator.fails = lambda: error
    job = scheduler.submit("a", samples(1))
    scheduler.start()
    view = ended(scheduler, job)
    assert view.state == "failed"
    assert words in view.error
    assert "secret" not in view.error
    generator.fails = None
    assert ended(scheduler, scheduler.submit("a", samples(2))).state == "done"
    scheduler.stop()


def test_what_is_wrong_with_one_leaves_its_companions_alone(
    scheduler: Scheduler, generator: FakeGenerator
) -> None:
    good, bad = scheduler.submit("a", samples(1, 2)), scheduler.submit("b", samples(13))
    scheduler.start()
    assert ended(scheduler, good).made == ("a-1-True", "a-2-True")
    view = ended(scheduler, bad)
    assert (view.state, view.error) == ("failed", FAILED)
    assert len(generator.batches) == 1
    assert scheduler.works
    scheduler.stop()
    assert not scheduler.works


def test_one_address_leaves_places_for_others() -> None:
    scheduler = Scheduler(FakeGenerator, finish, queue=20, per_session=10, per_address=12)
    scheduler.submit("a", samples(*range(10)), "home")
    with pytest.raises(Full, match="10 materials of people at your address"):
        scheduler.submit("b", samples(1, 2, 3), "home")
    scheduler.submit("b", samples(1, 2), "home")
    assert scheduler.submit("c", samples(*range(8)), "elsewhere").state == "waiting"


def test_stopping_finishes_the_batch_in_hand(
    scheduler: Scheduler, generator: FakeGenerator
) -> None:
    generator.gate.clear()
    running = scheduler.submit("a", samples(1))
    scheduler.start()
    until(lambda: len(generator.batches) == 1)
    waiting = scheduler.submit("a", samples(2))
    stopper = threading.Thread(target=scheduler.stop)
    stopper.start()
    generator.gate.set()
    stopper.join(10)
    assert scheduler.view(running).state == "done"
    assert scheduler.view(waiting).state == "cancelled"
    with pytest.raises(Full):
        scheduler.submit("a", samples(3))
