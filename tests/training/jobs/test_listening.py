"""Distillation on streamed speech: the same student as from cached frames, and after any interruption."""

import pickle
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

from speech_affect.audio import load_waveform
from speech_affect_training.corpora.clip_table import join_tables, unlabelled_table
from speech_affect_training.corpora.stream_sources import open_sources
from speech_affect_training.files import read_json
from speech_affect_training.frames.frame_dataset import collate_frames
from speech_affect_training.frames.speech_frames import extract_frames
from speech_affect_training.frames.speech_stream import SpeechStream
from speech_affect_training.jobs import train_job
from speech_affect_training.jobs.data_splits import TRAIN
from speech_affect_training.jobs.distillation import DistillationTrainer
from speech_affect_training.jobs.listening import Listener, StreamedDistillationTrainer, join
from speech_affect_training.jobs.teachers import teacher_targets


class Noting(StreamedDistillationTrainer):
    """Keeps the first weights, and the labels and pieces of each step."""

    def training_step(self, model, inputs, num_items_in_batch=None):
        if not hasattr(self, "batches_seen"):
            self.first = {name: value.clone() for name, value in model.state_dict().items()}
            self.batches_seen = []
        draw = self.batches

        class Drawn:
            def __next__(self):
                self.batch = next(draw)
                return self.batch

        self.batches = drawn = Drawn()
        loss = super().training_step(model, inputs, num_items_in_batch)
        self.batches = draw
        self.batches_seen.append((inputs["labels"].numpy().copy(), drawn.batch["fingerprints"]))
        return loss


@pytest.fixture(scope="module")
def streamed(tuned_jobs, tmp_path_factory):
    """The folder, the student's job and its trainer after 50 steps of four rated clips and four pieces."""
    folder = tmp_path_factory.mktemp("streamed")
    arguments = ("--max_steps", "50", "--save_strategy", "no", "--load_best_model_at_end", "false")
    jobs = tuned_jobs.streamed_jobs(folder, *arguments, "--eval_strategy", "no", "--early_stopping_patience", "0")
    jobs["teacher"].spec.training["max_steps"] = 3
    train_job.run_job(jobs["teacher"], 8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_job, "StreamedDistillationTrainer", Noting)
        train_job._prepare_folder(jobs["student"])
        trainer = train_job._make_trainer(jobs["student"], 8)
        trainer.train()
    return folder, jobs["student"], trainer


def test_streamed_and_cached_distillation_give_the_same_student(streamed, tuned_jobs):
    """From the same weights on the same clips in the same order; what is cached was heard in other batches."""
    folder, job, trainer = streamed
    audio = {}
    stream = SpeechStream(open_sources([str(folder / "shards/*.tar")]), 0)
    for shard in range(4):
        for recording in stream.sources[0].recordings(shard):
            (piece,) = stream._cut(0, recording)
            audio[piece.fingerprint] = piece
    branches = [branch for spec in (job.spec, job.teachers[0].spec) for branch in spec.branch_settings]
    extract_frames(audio, branches, job.stream.library, folder / "frames", 5)
    rated = job.tables[TRAIN]
    table = join_tables([rated, unlabelled_table(list(audio), list(audio))])
    cached = replace(job, tables={**job.tables, TRAIN: table}, stream=None)
    dataset = cached.training_dataset()
    dataset.set_teacher(**teacher_targets(cached, 8))
    rows = {fingerprint: row for row, fingerprint in enumerate(table.fingerprints)}
    of_label = {np.float32(labels).tobytes(): row for row, labels in enumerate(rated.labels)}
    batches = [
        [*(of_label[label.tobytes()] for label in labels), *(rows[name] for name in pieces)]
        for labels, pieces in trainer.batches_seen
    ]
    assert [len(batch) for batch in batches] == [8] * 50 and len({index for batch in batches for index in batch}) == 36
    model = job.new_model()
    model.load_state_dict(trainer.first)
    arguments = job.training_arguments()
    again = DistillationTrainer(model=model, args=arguments, train_dataset=dataset, distillation=job.spec.distillation)
    again.get_train_dataloader = partial(DataLoader, dataset, batch_sampler=batches, collate_fn=collate_frames)
    again.train()
    weights, expected = (each.model.state_dict() for each in (trainer, again))
    torch.testing.assert_close(weights, expected, atol=1e-4, rtol=0)
    assert max((weights[name] - trainer.first[name]).abs().max() for name in weights) > 0.01


def test_listening_is_predicting(streamed, tuned_jobs, tmp_path):
    """Of clips whose teachers' outputs are cached too: a frozen encoder, a trained one; weights by development."""
    trained = {"role": "teacher", "branches": ["mfb", tuned_jobs.WHISPER], "emotions": "agreed"}
    trained |= {"train_encoders": {"whisper": {"learning_rate": 1e-2}}, "training": {"max_steps": 2}}
    frozen = {**trained, "train_encoders": {}, "branches": [tuned_jobs.WHISPER, {"source": "wavlm"}]}
    student = {"role": "student", "teacher": ["a", "b"], "emotions": "agreed", "unlabelled": True}
    student["distillation"] = {"teacher_weights": "development", "emotion_weight": 0.5}
    quiet = ("--eval_strategy", "no", "--save_strategy", "no", "--load_best_model_at_end", "false")
    stream = ("--unlabelled_stream", str(tmp_path), "--unlabelled_share", "0.5", "--early_stopping_patience", "0")
    (tmp_path / "a.wav").touch()
    systems = {"a": frozen, "b": trained, "student": student}
    jobs = tuned_jobs.make_jobs(tmp_path, systems, *stream, *quiet, shared=streamed[0])
    for name in "ab":
        train_job.run_job(jobs[name], 8)
    job = pickle.loads(pickle.dumps(jobs["student"]))  # as a process of the pool gets it
    assert job.fingerprint == jobs["student"].fingerprint
    expected = teacher_targets(job, 8)
    clips = [torch.from_numpy(load_waveform(jobs["b"].audio.clips[f])) for f in job.tables[TRAIN].fingerprints]
    mask = pad_sequence([torch.ones(len(clip), dtype=torch.long) for clip in clips], batch_first=True)
    heard = Listener(job, 8)(pad_sequence(clips, batch_first=True), mask)
    for name in ("logits", "embedding", "emotions"):
        found = torch.from_numpy(expected[name]).float()
        torch.testing.assert_close(heard[f"teacher_{name}"], found, atol=2e-4, rtol=0)
    for row, fingerprint in enumerate(job.tables[TRAIN].fingerprints):
        frames = torch.from_numpy(np.array(job.caches["mfb"].read(fingerprint)))
        assert heard["frames_mask"]["mfb"][row].sum() == len(frames)
        torch.testing.assert_close(heard["frames"]["mfb"][row][: len(frames)], frames, atol=1e-5, rtol=0)
    rounded = replace(job, stream=replace(job.stream, dtype="float16", batch_size=24))
    again = Listener(rounded, 8)(pad_sequence(clips, batch_first=True), mask)
    difference = (again["teacher_logits"] - heard["teacher_logits"]).abs().max()
    assert 0 < difference < 0.1 and again["frames"]["mfb"].equal(heard["frames"]["mfb"])


def test_it_goes_on_with_the_next_piece_after_being_killed(streamed, tuned_jobs, tmp_path, monkeypatch):
    """Checkpoints are made every third step; what was heard after the last one is heard again, and nothing else."""
    arguments = (
        "--num_train_epochs",
        "2",
        "--eval_strategy",
        "steps",
        "--eval_steps",
        "3",
        "--save_strategy",
        "steps",
    )
    arguments += ("--save_steps", "3", "--early_stopping_patience", "0")
    step, heard, stop = StreamedDistillationTrainer.training_step, {}, set()

    def stopping(self, *args):
        number = self.state.global_step
        if number in stop:
            stop.remove(number)
            raise KeyboardInterrupt
        loss = step(self, *args)
        heard.setdefault(number, []).append(str(self.batches.position))
        return loss

    monkeypatch.setattr(StreamedDistillationTrainer, "training_step", stopping)
    found = []
    for killed in ((), (4, 10)):
        heard.clear()
        stop.update(killed)
        jobs = tuned_jobs.streamed_jobs(streamed[0], *arguments, "--output_dir", str(tmp_path / f"run{len(killed)}"))
        train_job.run_job(jobs["teacher"], 8)
        for number in (*killed, None):
            if number is None:
                train_job.run_job(jobs["student"], 8)
            else:
                with pytest.raises(KeyboardInterrupt):
                    train_job.run_job(jobs["student"], 8)
        result = read_json(jobs["student"].folder / "job.json")
        assert result["streamed"] == {"share": 0.5, "skipped": 0}
        found.append((dict(heard), load_file(jobs["student"].folder / "model" / "model.safetensors")))
    (once, weights), (again, others) = found
    assert list(once) == list(range(12)) and all(len(positions) == 1 for positions in once.values())
    assert {number: len(positions) for number, positions in again.items()} == {
        number: 2 if number in (3, 9) else 1 for number in range(12)
    }
    assert all({*again[number]} == {*once[number]} for number in range(12))
    torch.testing.assert_close(others, weights, atol=0, rtol=0)


def test_heard_clips_stand_behind_rated_ones_without_labels():
    rated = {
        "frames": {"mfb": torch.ones(2, 3, 4)},
        "frames_mask": {"mfb": torch.ones(2, 3, dtype=torch.bool)},
        "labels": torch.ones(2, 3),
        "emotion_targets": torch.tensor([0, 1]),
        "rating_scales": torch.tensor([1, 1]),
        "teacher_logits": torch.ones(2, 3),
    }
    mask = torch.tensor([[True] * 5])
    heard = {"frames": {"mfb": torch.full((1, 5, 4), 2.0)}, "frames_mask": {"mfb": mask}}
    batch = join(rated, {**heard, "teacher_logits": torch.full((1, 3), 5.0)})
    assert batch["frames"]["mfb"].sum(dim=(1, 2)).tolist() == [12, 12, 40]
    assert batch["frames_mask"]["mfb"].sum(dim=1).tolist() == [3, 3, 5]
    assert batch["labels"][:2].eq(1).all() and batch["labels"][2].isnan().all()
    assert batch["emotion_targets"].tolist() == [0, 1, -100] and batch["rating_scales"].tolist() == [1, 1, 0]
    assert batch["teacher_logits"][:, 0].tolist() == [1, 1, 5]


def test_the_stream_is_a_part_of_the_jobs_identity(streamed, tuned_jobs):
    job = streamed[1]
    fingerprint = replace(job, stream=job.stream).fingerprint
    assert fingerprint == job.fingerprint and replace(job, stream=None).fingerprint != fingerprint
    for change in ({"share": 0.4}, {"held_out": frozenset("a")}, {"dtype": "bfloat16"}, {"sources": []}):
        assert replace(job, stream=replace(job.stream, **change)).fingerprint != fingerprint
    assert "stream" not in replace(job, stream=None).settings()
    # clips to develop and to test on are not heard
    assert job.stream.held_out == {*job.tables[train_job.DEVELOPMENT].fingerprints}


def test_a_share_that_leaves_no_clip_of_a_kind(streamed):
    stream = streamed[1].stream
    assert stream.pieces(8) == 4 and replace(stream, share=0.2).pieces(4) == 1
    for share, pieces in ((0.1, 0), (0.9, 4)):
        with pytest.raises(
            ValueError, match=f"unlabelled_share {share} of per_device_train_batch_size 4 is {pieces} cl"
        ):
            replace(stream, share=share).pieces(4)
