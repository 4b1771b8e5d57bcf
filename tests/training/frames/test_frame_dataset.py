"""Items and batches: frames padded and masked, and the targets of a model's tasks."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from speech_affect_training.frames.frame_cache import FrameCache
from speech_affect_training.frames.frame_dataset import FrameDataset, collate_frames


@pytest.fixture
def caches(tmp_path, make_table):
    """Two branches' frames of four clips, 2 to 5 frames long."""
    found = {}
    for name, width, dtype in (("mfb", 40, "float32"), ("whisper-1", 3, "float16")):
        found[name] = FrameCache(tmp_path, name, {}, dtype)
        for index, fingerprint in enumerate(make_table(4).fingerprints):
            found[name].write_batch({fingerprint: np.full((2 + index, width), index + 0.5)})
    return found


def config(**tasks):
    id2label = {0: "activation", 1: "valence", 2: "dominance"}
    return SimpleNamespace(**{"gender_names": None, "predict_uncertainty": False, "id2label": id2label, **tasks})


def test_frames_are_padded_and_masked(caches, make_table):
    dataset = FrameDataset(make_table(4), caches, config())
    batch = collate_frames([dataset[2], dataset[0]])
    assert set(batch) == {"frames", "frames_mask", "labels"} and len(dataset) == 4
    for name, width in (("mfb", 40), ("whisper-1", 3)):
        frames, mask = batch["frames"][name], batch["frames_mask"][name]
        assert frames.dtype == torch.float32 and frames.shape == (2, 4, width)
        assert mask.tolist() == [[True] * 4, [True, True, False, False]]
        assert (frames[0] == 2.5).all() and (frames[1, :2] == 0.5).all() and not frames[1, 2:].any()
    assert batch["labels"].dtype == torch.float32
    assert batch["labels"].tolist() == make_table(4).labels[[2, 0]].tolist()


def test_second_tasks_come_as_the_model_asks(caches, make_table):
    table = make_table(
        4, emotions=["A", "X", None, "H"], genders=["Male", "Female", None, "Unknown"], rating_variances=np.eye(4, 3)
    )
    dataset = FrameDataset(table, caches, config(gender_names=["Female", "Male"], predict_uncertainty=True), "AH")
    batch = collate_frames([dataset[index] for index in range(4)])
    assert set(batch) == {"frames", "frames_mask", "labels", "rating_variances", "emotion_targets", "gender_targets"}
    assert batch["emotion_targets"].tolist() == [0, -100, -100, 1] and batch["emotion_targets"].dtype == torch.int64
    assert batch["gender_targets"].tolist() == [1, 0, -100, -100] and batch["gender_targets"].dtype == torch.int64
    assert batch["rating_variances"].tolist() == np.eye(4, 3).tolist()


def test_votes_are_shares_of_the_classes_that_are_learnt(caches, make_table):
    votes = [("A", "H", "H", "H", "X"), (), (), ("X",)]
    table = make_table(4, emotions=["H", "S", None, "A"], votes=votes)
    dataset = FrameDataset(table, caches, config(), ["A", "H", "S"], votes=True)
    shares = collate_frames([dataset[index] for index in range(4)])["emotion_targets"]
    assert shares.dtype == torch.float32
    # one vote of four; none, so the clip's own class; nothing known; a vote for no class learnt, so its own class
    assert shares[[0, 1, 3]].tolist() == [[0.25, 0.75, 0], [0, 0, 1], [1, 0, 0]]
    assert shares[2].isnan().all()
    plain = FrameDataset(table, caches, config(), ["A", "H", "S"])
    assert plain.targets["emotion_targets"].tolist() == [1, 2, -100, 0]


def test_a_teacher_is_added_to_every_item(caches, make_table):
    dataset = FrameDataset(make_table(4), caches, config())
    logits, embeddings = np.random.default_rng(0).random((4, 3)), np.ones((4, 8), np.float32) * [[1], [2], [3], [4]]
    dataset.set_teacher(logits, embeddings)
    batch = collate_frames([dataset[3], dataset[1]])
    assert "teacher_emotions" not in batch
    np.testing.assert_allclose(batch["teacher_logits"], logits[[3, 1]], rtol=1e-6)
    assert batch["teacher_logits"].dtype == batch["teacher_embedding"].dtype == torch.float32
    assert batch["teacher_embedding"][:, 0].tolist() == [4, 2]


def test_a_teacher_fills_in_what_is_missing(caches, make_table):
    labels = np.array([[1.0, 2, NAN], [NAN, NAN, NAN], [3, 4, 5], [NAN, 6, NAN]])
    votes = [("A",), (), (), ("H", "H", "A")]
    table, logits = make_table(4, labels=labels, emotions=["A", None, "X", None], votes=votes), 7.0 * np.ones((4, 3))
    given = {"embedding": np.ones((4, 8)), "emotions": np.tile([0.2, 0.8], (4, 1)), "fill": "missing"}
    # a class that the student does not learn, X, is none
    for of_votes, known in ((False, [0]), (True, [0, 3])):
        dataset = FrameDataset(table, caches, config(id2label={0: "valence", 1: "dominance"}), "AH", votes=of_votes)
        dataset.set_teacher(logits, **given)
        filled = dataset.targets["teacher_logits"]
        np.testing.assert_array_equal(filled, [[NAN, 7], [7, 7], [NAN, NAN], [NAN, 7]])
        emotions = dataset.targets["teacher_emotions"]
        assert [row for row in range(4) if np.isnan(emotions[row]).all()] == known
        assert (
            emotions[[1, 2]].tolist() == [[0.2, 0.8]] * 2 and not np.isnan(dataset.targets["teacher_embedding"]).any()
        )


NAN = np.nan


def test_targets_are_those_of_the_models_outputs(caches, make_table):
    table = make_table(4, rating_variances=np.arange(12.0).reshape(4, 3))
    outputs = config(id2label={0: "dominance", 1: "activation"}, predict_uncertainty=True)
    dataset = FrameDataset(table, caches, outputs)
    dataset.set_teacher(np.arange(12.0).reshape(4, 3), np.zeros((4, 8)))
    for name, values in (("labels", table.labels), ("rating_variances", table.rating_variances)):
        assert dataset[1][name].tolist() == values[1, [2, 0]].tolist()
    assert dataset[1]["teacher_logits"].tolist() == [5.0, 3.0]


def test_scales_come_where_clips_with_labels_have_several(caches, make_table):
    labels = make_table(4).labels
    labels[3] = np.nan
    table = make_table(4, labels=labels, rating_scales=["word", "emodb", "word", ""])
    dataset = FrameDataset(table, caches, config())
    batch = collate_frames([dataset[index] for index in range(4)])
    assert batch["rating_scales"].dtype == torch.int64
    assert batch["rating_scales"].tolist() == [2, 1, 2, 0]
    one = make_table(4, labels=labels, rating_scales=["word", "word", "word", ""])
    assert "rating_scales" not in FrameDataset(one, caches, config())[0]
