"""Jobs side by side: order, bounds, errors, and real jobs in processes of their own."""

import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from speech_affect_training.jobs import job_pool
from speech_affect_training.jobs.job_pool import default_workers, run_jobs
from speech_affect_training.settings.split_key import SplitKey


class FakeJob(SimpleNamespace):
    """A job that only waits; it notes when it begins and ends."""

    arguments = SimpleNamespace(disable_tqdm=True)

    def __init__(self, label, events, teachers=(), done=False, error=None, seconds=0.03):
        super().__init__(label=label, events=events, needed=list(teachers), done=done, error=error, seconds=seconds)

    def result(self):
        return {"development": {"ccc_mean": 0.5}} if self.done else None

    def unpredicted(self):
        return []

    def run(self):
        self.events.append(("begin", self.label))
        time.sleep(self.seconds)
        if self.error:
            raise self.error
        self.done = True
        self.events.append(("end", self.label))
        return self.result()


class Threads(ThreadPoolExecutor):
    """Takes no more than there are workers: a process begins what waits in its queue, although the run has failed."""

    def __init__(self, workers):
        super().__init__(workers)
        self.futures = []

    def submit(self, *args):
        assert sum(not future.done() for future in self.futures) < self._max_workers
        self.futures.append(super().submit(*args))
        return self.futures[-1]


@pytest.fixture
def threads(monkeypatch):
    """Workers are threads, which see fake jobs."""
    monkeypatch.setattr(job_pool, "ProcessPoolExecutor", lambda workers, mp_context, initializer: Threads(workers))
    monkeypatch.setattr(job_pool, "_run", lambda job, batch_size: job.run())
    monkeypatch.setattr(job_pool, "run_job", lambda job, batch_size: job.run())


def family(events):
    """Two teachers, and two students of both."""
    teachers = [FakeJob(f"teacher{index}", events, seconds=0.2 + 0.4 * index) for index in range(2)]
    return teachers, [FakeJob(f"student{index}", events, teachers) for index in range(2)]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_a_student_begins_after_its_teachers(threads, workers):
    events = []
    teachers, students = family(events)
    plain = [FakeJob(f"plain{index}", events, seconds=0.2) for index in range(3)]
    run_jobs([*teachers, *students, *plain], 8, workers)
    assert len(events) == 14 and all(job.done for job in (*teachers, *students, *plain))
    taught = max(events.index(("end", teacher.label)) for teacher in teachers)
    assert all(events.index(("begin", student.label)) > taught for student in students)
    if workers > 2:  # the others do not wait for the students' teachers
        assert all(events.index(("begin", job.label)) < taught for job in plain)
    assert max(np.cumsum([1 if kind == "begin" else -1 for kind, _ in events])) == workers


@pytest.mark.parametrize("workers", [1, 3])
def test_finished_jobs_are_not_run_again_and_the_caller_gets_each_that_was_run(threads, workers):
    finished, events = [], []
    teachers, students = family(events)
    teachers[0].done = True
    for _ in range(2):
        run_jobs([*teachers, *students], 8, workers, lambda job: finished.append((job.label, job.done)))
    assert {label for _, label in events} == {"teacher1", "student0", "student1"}
    assert finished[0] == ("teacher1", True) and sorted(finished[1:]) == [("student0", True), ("student1", True)]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_ends_the_run(threads, workers):
    events = []
    teachers, students = family(events)
    teachers[0].error = ValueError("no such thing")
    rest = [FakeJob(f"rest{index}", events) for index in range(9)]
    with pytest.raises(ValueError, match="no such thing"):
        run_jobs([*teachers, *students, *rest], 8, workers)
    begun = {label for kind, label in events if kind == "begin"}
    assert not begun & {"student0", "student1"} and len(begun) <= 3


def test_a_teacher_that_is_not_among_the_jobs(threads):
    _, students = family([])
    with pytest.raises(RuntimeError, match="student0 waits for a job that is not among those to run"):
        run_jobs(students, 8, 2)


def test_a_group_of_processes_has_no_workers(monkeypatch):
    group = SimpleNamespace(num_processes=2, device=SimpleNamespace(type="cpu"))
    monkeypatch.setattr(job_pool, "PartialState", lambda: group)
    assert default_workers() == 1
    with pytest.raises(ValueError, match="job_workers is 2 in a group of 2 processes; give 1"):
        run_jobs([], 8, 2)
    group.num_processes = 1
    monkeypatch.setattr(job_pool.cores, "available_cores", lambda: 7)
    assert default_workers() == 7
    group.device.type = "cuda"
    assert default_workers() == 1


@pytest.mark.parametrize("silent", [True, False])
def test_a_bar_of_all_jobs(threads, capsys, monkeypatch, silent):
    monkeypatch.setattr(FakeJob, "arguments", SimpleNamespace(disable_tqdm=silent))
    run_jobs([FakeJob("a", [], done=True), FakeJob("mfb/seed0", [])], 8, 2)
    shown = capsys.readouterr().err
    assert ("2/2" in shown and "mfb/seed0 0.500" in shown) == (not silent)
    assert bool(shown) == (not silent)


def test_a_worker_that_died_is_one_sentence(threads, monkeypatch):
    def die(job, batch_size):
        raise BrokenProcessPool("A process in the process pool was terminated abruptly")

    monkeypatch.setattr(job_pool, "_run", die)
    message = "a process died that was training one of: a, b .*; start the run again: .* fewer than 2 --job_workers"
    with pytest.raises(ChildProcessError, match=message):
        run_jobs([FakeJob(name, []) for name in "abc"], 8, 2)


def test_real_jobs_in_processes_of_their_own(trained_jobs, tmp_path):
    """A job fails, and what the other has done is kept."""
    teacher, student = trained_jobs.make_jobs(tmp_path, "--num_train_epochs", "1", "--disable_tqdm", "false").values()
    caches = {name: replace(cache, settings={"lost": True}) for name, cache in teacher.caches.items()}
    lost = replace(teacher, caches=caches, folder=tmp_path / "jobs" / "lost")
    with pytest.raises(FileNotFoundError, match="mfb-"):
        run_jobs([teacher, lost], 8, 2)
    assert lost.result() is None
    run_jobs([teacher, student], 8, 1)
    for job in (teacher, student):
        assert job.result()["fingerprint"] == job.fingerprint
        assert job.result()["steps"] == 3 and job.predictions_path(SplitKey("test1")).is_file()
    assert not teacher.arguments.disable_tqdm  # the worker's own copy was silenced
