"""Jobs side by side: order, bounds, errors, and real jobs in processes of their own."""

import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from speech_affect_training.frames.frame_cache import FrameCache
from speech_affect_training.jobs import job_pool as job_pool
from speech_affect_training.jobs.job import Job
from speech_affect_training.jobs.job_pool import default_workers, run_jobs
from speech_affect_training.settings.model_config import build_config
from speech_affect_training.settings.recipe import parse_arguments


class FakeStage(SimpleNamespace):
    """A job that only waits; it notes when it begins and ends."""

    arguments = SimpleNamespace(disable_tqdm=True)

    def __init__(self, label, events, teachers=(), done=False, error=None, seconds=0.03):
        super().__init__(label=label, events=events, teachers=list(teachers), done=done, error=error, seconds=seconds)

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
    """Refuses more than there are workers for: a process begins what waits in line, though the line is given up."""

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


def family(events, students=2):
    """Two teachers, and students of both."""
    teachers = [FakeStage(f"teacher{index}", events, seconds=0.02 + 0.4 * index) for index in range(2)]
    return teachers, [FakeStage(f"student{index}", events, teachers) for index in range(students)]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_a_student_begins_after_its_teachers(threads, workers):
    events = []
    teachers, students = family(events)
    plain = [FakeStage(f"plain{index}", events) for index in range(3)]
    run_jobs([*teachers, *students, *plain], 8, workers)
    assert len(events) == 14 and all(job.done for job in (*teachers, *students, *plain))
    taught = max(events.index(("end", teacher.label)) for teacher in teachers)
    assert all(events.index(("begin", student.label)) > taught for student in students)
    if workers > 2:  # the others do not wait for the students' teachers
        assert all(events.index(("begin", job.label)) < taught for job in plain)


@pytest.mark.parametrize("workers", [2, 3])
def test_as_many_at_a_time_as_workers(threads, workers):
    events = []
    run_jobs([FakeStage(f"s{index}", events) for index in range(7)], 8, workers)
    running = np.cumsum([1 if kind == "begin" else -1 for kind, _ in events])
    assert max(running) == workers


@pytest.mark.parametrize("workers", [1, 3])
def test_finished_stages_are_not_run_again(threads, workers):
    events = []
    teachers, students = family(events)
    for teacher in teachers:
        teacher.done = True
    run_jobs([*teachers, *students], 8, workers)
    assert {label for _, label in events} == {"student0", "student1"}
    run_jobs([*teachers, *students], 8, workers)
    assert len(events) == 4


@pytest.mark.parametrize("workers", [1, 3])
def test_each_stage_that_was_run_is_told_of_when_it_is_finished(threads, workers):
    told, events = [], []
    teachers, students = family(events)
    teachers[0].done = True
    run_jobs([*teachers, *students], 8, workers, lambda job: told.append((job.label, job.done)))
    assert told[0] == ("teacher1", True) and sorted(told[1:]) == [("student0", True), ("student1", True)]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_ends_the_run(threads, workers):
    events = []
    teachers, students = family(events)
    teachers[0].error = ValueError("no such thing")
    rest = [FakeStage(f"rest{index}", events) for index in range(9)]
    with pytest.raises(ValueError, match="no such thing"):
        run_jobs([*teachers, *students, *rest], 8, workers)
    begun = {label for kind, label in events if kind == "begin"}
    assert not begun & {"student0", "student1"} and len(begun) <= 3


def test_a_teacher_that_nobody_trains(threads):
    _, students = family([])
    with pytest.raises(RuntimeError, match="student0 waits for a teacher that is not among the jobs to run"):
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
def test_a_bar_of_all_stages(threads, capsys, monkeypatch, silent):
    monkeypatch.setattr(FakeStage, "arguments", SimpleNamespace(disable_tqdm=silent))
    run_jobs([FakeStage("a", [], done=True), FakeStage("mfb/seed0", [])], 8, 2)
    shown = capsys.readouterr().err
    assert ("2/2" in shown and "mfb/seed0 0.500" in shown) == (not silent)
    assert bool(shown) == (not silent)


@pytest.fixture
def real_stages(tmp_path, make_table):
    """A teacher and its student on made-up frames; and a teacher whose frames are not there."""
    systems = "{teacher: {role: teacher}, pupil: {role: student, teacher: teacher}}"
    head = "{conv_channels: 4, gru_hidden_size: 4, embedding_size: 4}"
    argv = ["--systems", systems, "--head", head, "--output_dir", str(tmp_path), "--num_train_epochs", "2"]
    run, arguments = parse_arguments([*argv, "--disable_tqdm", "false"])
    table = make_table(6)
    caches = {"mfb": FrameCache(tmp_path, "mfb", {}, "float32")}
    for index, fingerprint in enumerate(table.fingerprints):
        caches["mfb"].write(fingerprint, np.random.default_rng(index).standard_normal((9, 40)))

    def make(name: str, folder: str, teachers=(), caches=caches) -> Job:
        return Job(
            spec=run.specs[name],
            seed=0,
            config=build_config(run.specs[name], {}, run.head, (1.0, 7.0), [], []),
            tables={"train": table, "development": table, "test1": table},
            caches=caches,
            emotion_codes=[],
            arguments=arguments,
            patience=None,
            folder=Path(tmp_path / "jobs" / folder),
            teachers=list(teachers),
        )

    teacher = make("teacher", "teacher")
    lost = {"mfb": FrameCache(tmp_path, "mfb", {"lost": True}, "float32")}
    return teacher, make("pupil", "pupil", [teacher]), make("teacher", "lost", caches=lost)


def test_real_stages_in_processes_of_their_own(real_stages):
    teacher, pupil, lost = real_stages
    with pytest.raises(FileNotFoundError, match="mfb-"):
        run_jobs([teacher, pupil, lost], 8, 2)
    assert lost.result() is None
    run_jobs([teacher, pupil], 8, 1)  # what was done is kept
    for job in (teacher, pupil):
        assert job.result()["fingerprint"] == job.fingerprint
        assert job.result()["steps"] == 2 and job.predictions_path("test1").is_file()
    assert not teacher.arguments.disable_tqdm  # the worker's own copy was silenced


def test_a_worker_that_died_is_told_of_in_one_sentence(threads, monkeypatch):
    def die(job, batch_size):
        raise BrokenProcessPool("A process in the process pool was terminated abruptly")

    monkeypatch.setattr(job_pool, "_run", die)
    message = "a process died that was training one of: a, b .*; start the run again: .* fewer than 2 --job_workers"
    with pytest.raises(ChildProcessError, match=message):
        run_jobs([FakeStage(name, []) for name in "abc"], 8, 2)
