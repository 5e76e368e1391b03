"""Workers: every job is answered once, a dying worker costs one image one retry."""

import os
import signal
import time
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest

from components.core.errors import UserError
from components.core.materials.library.catalogue import sample
from components.core.platform.cores import cores
from components.core.rendering import workers as module
from components.core.rendering.threads import prepare_with_share
from components.core.rendering.workers import Failed, Workers


def fragile(folder: Path) -> Callable[[int], int]:
    def work(job: int) -> int:
        mark = folder / str(job)
        mark.write_text(mark.read_text() + "x" if mark.exists() else "x")
        if job == 3 and mark.read_text() == "x":
            os.kill(os.getpid(), signal.SIGKILL)
        if job == 5:
            os.abort()
        if job == 7:
            raise ValueError("no such light")
        if job == 11:
            raise UserError("brick.png is damaged: replace it.")
        return job * job

    return work


def test_a_crash_costs_one_retry_and_is_reported_after_the_second(tmp_path: Path) -> None:
    with Workers[int, int](partial(fragile, tmp_path), count=2) as workers:
        found = dict(workers.run(range(10)))
        again = dict(workers.run([0, 1]))
    assert sorted(found) == list(range(10))
    fine = {job: result for job, result in found.items() if not isinstance(result, Failed)}
    assert fine == {job: job * job for job in (0, 1, 2, 3, 4, 6, 8, 9)}
    assert (tmp_path / "3").read_text() == (tmp_path / "5").read_text() == "xx"
    assert isinstance(found[5], Failed)
    assert "exit code -6" in found[5].reason
    assert isinstance(found[7], Failed)
    assert found[7].reason == "ValueError: no such light"
    assert again == {0: 0, 1: 1}


def test_what_the_user_must_mend_is_told_at_once(tmp_path: Path) -> None:
    with (
        Workers[int, int](partial(fragile, tmp_path), count=1) as workers,
        pytest.raises(UserError, match=r"brick\.png is damaged"),
    ):
        list(workers.run([0, 11]))
    assert (tmp_path / "11").read_text() == "x"


def rendering() -> Callable[[int], np.ndarray]:
    from components.core.rendering.environments import load_environments
    from components.core.rendering.scene import Renderer

    renderer, environments = Renderer(16, 4, 16), load_environments("")
    material = sample("brick", np.random.default_rng(0), 32)

    def work(job: int) -> np.ndarray:
        return renderer.render_srgb(
            material, environments[job % len(environments)], rotation=0.1 * job, seed=job
        )

    return work


def test_rendered_images_do_not_depend_on_the_worker_and_memory_stays_flat() -> None:
    with Workers[int, np.ndarray](rendering, count=1) as workers:
        process = psutil.Process(workers._workers[0].process.pid)
        images, resident = {}, []
        for number, image in workers.run(range(400)):
            images[number] = image
            if number in (100, 399):
                resident.append(process.memory_info().rss)
    with Workers[int, np.ndarray](rendering, count=2, lifetime=3) as workers:
        for number, image in workers.run(range(8)):
            np.testing.assert_array_equal(image, images[number])
    assert resident[1] - resident[0] < 10e6


@pytest.mark.long
def test_memory_stays_flat_over_two_thousand_images() -> None:
    with Workers[int, np.ndarray](rendering, count=1, lifetime=10_000) as workers:
        process = psutil.Process(workers._workers[0].process.pid)
        resident = {n: process.memory_info().rss for n, _ in workers.run(range(2100))}
    assert resident[2099] - resident[99] < 10e6


def threads() -> Callable[[int], tuple[int, bytes]]:
    import drjit

    render = rendering()
    return lambda job: (drjit.thread_count(), render(job).tobytes())


def test_processes_share_the_cores_and_threads_do_not_show() -> None:
    found = []
    for processes in (1, cores()):
        prepare = partial(prepare_with_share, processes, threads)
        with Workers[int, tuple[int, bytes]](prepare, count=1) as workers:
            found.append([answer for _, answer in workers.run(range(4))])
    counts, images = zip(*[zip(*answers, strict=True) for answers in found], strict=True)
    assert counts == ((cores(),) * 4, (1,) * 4)
    assert images[0] == images[1]


def test_what_renders_in_a_training_process_leaves_cores_to_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(cores()))
    with Workers[int, tuple[int, bytes]](threads, count=1) as workers:
        ((_, answer),) = workers.run([0])
    assert not isinstance(answer, Failed)
    assert answer[0] == 1


def hung() -> Callable[[np.ndarray], int]:
    time.sleep(600.0)
    return len


def test_a_start_that_hangs_is_found_out_however_large_the_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Deadlocks if the job is handed over to a process that does not read yet."""
    monkeypatch.setattr(module, "STARTING", 1.0)
    with Workers[np.ndarray, int](hung, count=1, timeout=600.0) as workers:
        ((_, late),) = workers.run([np.zeros(1 << 21)])
    assert late == Failed(0, "it took longer than 1 seconds")


def slow() -> Callable[[int], int]:
    def work(job: int) -> int:
        time.sleep(0.2 * (job % 2))
        return job

    return work


def test_a_run_that_is_left_early_leaves_nothing_to_the_next() -> None:
    with Workers[int, int](slow, count=2) as workers:
        for _ in workers.run(range(100, 140)):
            break
        assert dict(workers.run(range(4))) == {n: n for n in range(4)}


def stepping() -> Callable[[int], Generator[str, None, int]]:
    def work(job: int) -> Generator[str, None, int]:
        for letter in "abc":
            yield letter
            if (job, letter) == (1, "b"):
                os.abort()
            if (job, letter) == (2, "c"):
                raise ValueError("no such light")
            time.sleep(600.0 if (job, letter) == (3, "a") else 0.5)
        return job

    return work


def test_a_job_of_many_steps_tells_at_which_it_failed_and_has_time_for_each() -> None:
    with Workers[int, int](stepping, count=2, attempts=1) as workers:
        list(workers.run([0, 0]))  # so that both have started
        workers.timeout = 1.2  # a whole job takes longer
        found = dict(workers.run(range(4)))
    assert found[0] == 0
    steps = {job: answer.step for job, answer in found.items() if isinstance(answer, Failed)}
    assert steps == {1: "b", 2: "c", 3: "a"}


def test_the_processes_end_with_the_context() -> None:
    with Workers[int, int](partial(fragile, Path("/nonexistent")), count=2) as workers:
        pids = [worker.process.pid for worker in workers._workers]
    deadline = time.monotonic() + 5
    while any(psutil.pid_exists(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(psutil.pid_exists(pid) for pid in pids)


@pytest.mark.parametrize("count", [0, 1])
def test_no_jobs_give_no_results(count: int) -> None:
    with Workers[int, int](partial(fragile, Path()), count=count) as workers:
        assert list(workers.run([])) == []


def dawdling() -> Callable[[int], int]:
    def work(job: int) -> int:
        if job == 1:
            time.sleep(600.0)
        return job

    return work


def test_a_job_that_takes_too_long_is_given_up_and_the_others_are_done() -> None:
    with Workers[int, int](dawdling, count=2) as workers:
        list(workers.run([0, 2]))  # so that both have started
        workers.timeout = 5.0
        found = dict(workers.run(range(4)))
    late = found.pop(1)
    assert isinstance(late, Failed)
    assert late.reason == "it took longer than 5 seconds"
    assert found == {0: 0, 2: 2, 3: 3}


def slow_to_start() -> Callable[[int], int]:
    time.sleep(2.0)
    return lambda job: job


def test_the_start_of_a_worker_is_not_its_first_jobs_time() -> None:
    with Workers[int, int](slow_to_start, count=1, timeout=1.0) as workers:
        assert dict(workers.run(range(3))) == {0: 0, 1: 1, 2: 2}
