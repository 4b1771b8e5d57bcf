"""The probe finds where labels were hidden, and reports what it found."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from speech_affect_training.corpora.load import load_corpus
from speech_affect_training.encoders.library import EncoderLibrary
from speech_affect_training.jobs.data_splits import make_data_splits
from speech_affect_training.probing.pooled_states import PooledStates, all_states_branch, pooled_cache
from speech_affect_training.probing.probe import KEYS, best_hidden_state, probe_layers, probe_subspaces, run_probe
from speech_affect_training.settings.augmentation import AugmentationSettings


CLIPS = {"train": 200, "development": 80, "test1": 80}
STATES, WIDTH = 4, 12


@pytest.fixture(scope="module")
def hidden():
    """Noise everywhere but in hidden state 2: of its dimensions, 3 carries valence, and 7 the other two labels."""
    generator = np.random.default_rng(0)
    pooled = {split: generator.standard_normal((STATES, n, WIDTH)).astype(np.float32) for split, n in CLIPS.items()}
    labels = {}
    for split, states in pooled.items():
        activation, valence = 0.9 * states[2, :, 7], 0.7 * states[2, :, 3]
        clean = np.stack([activation, valence, 0.5 * activation], axis=1)
        labels[split] = 4 + clean + 0.05 * generator.standard_normal(clean.shape)
    return pooled, labels


def test_the_state_that_carries_the_labels_is_found(hidden):
    rows = probe_layers(*hidden)
    assert [(row["hidden_state"], row["split"]) for row in rows] == [
        (state, split) for state in range(STATES) for split in ("development", "test1")
    ]
    assert best_hidden_state(rows) == 2
    for row in rows:
        assert tuple(row["ccc"]) == KEYS
        assert row["ccc"]["mean"] == pytest.approx(np.mean([row["ccc"][key] for key in KEYS[:3]]))
        assert all(v > 0.98 if row["hidden_state"] == 2 else abs(v) < 0.35 for v in row["ccc"].values())


def test_clips_that_nobody_rated_are_left_out(hidden):
    """Of dominance there is nothing; of valence half of train and a part of test1."""
    pooled, labels = hidden
    gaps = {split: values.copy() for split, values in labels.items()}
    gaps["train"][::2, 1] = gaps["test1"][:30, 1] = np.nan
    for values in gaps.values():
        values[:, 2] = np.nan
    half = {**pooled, "train": pooled["train"][:, 1::2]}
    expected = probe_layers(half, {**labels, "train": labels["train"][1::2]})
    found = probe_layers(pooled, gaps)
    assert {row["ccc"]["dominance"] for row in found} == {None}
    for row, other in zip(found, expected, strict=True):
        same = [key for key in ("activation", "valence") if (key, row["split"]) != ("valence", "test1")]
        if row["hidden_state"] == 2:  # where one penalty is the best for all
            assert {key: row["ccc"][key] for key in same} == pytest.approx(
                {key: other["ccc"][key] for key in same}, abs=0.02
            )
        assert row["ccc"]["mean"] == pytest.approx((row["ccc"]["activation"] + row["ccc"]["valence"]) / 2)
    ranking, _ = probe_subspaces({split: states[2] for split, states in pooled.items()}, gaps)
    assert set(ranking[:2]) == {3, 7}


def test_the_best_state_is_that_of_development_and_the_lowest_of_equals():
    rows = [
        {"hidden_state": state, "split": split, "ccc": {"mean": ccc}}
        for state, pair in enumerate([(0.1, 0.9), (0.5, 0.2), (0.5, 0.3)])
        for split, ccc in zip(("development", "test1"), pair, strict=True)
    ]
    assert best_hidden_state(rows) == 1


def test_the_dimensions_that_carry_the_labels_are_ranked_first_and_suffice(hidden):
    pooled, labels = hidden
    ranking, rows = probe_subspaces({split: states[2] for split, states in pooled.items()}, labels)
    assert ranking[:2].tolist() == [7, 3]  # 7 carries two of the three
    assert sorted(ranking) == list(range(WIDTH))
    test1 = {row["dimensions"]: row["ccc"] for row in rows if row["split"] == "test1"}
    assert list(test1) == [1, 2, 4, 8, 12]
    assert test1[1]["activation"] > 0.98 and abs(test1[1]["valence"]) < 0.2
    assert test1[2]["valence"] > 0.98
    last = [row["ccc"] for row in probe_layers(pooled, labels) if (row["hidden_state"], row["split"]) == (2, "test1")]
    assert test1[12] == pytest.approx(last[0])
    rows = probe_subspaces({split: states[2, :, :8] for split, states in pooled.items()}, labels)[1]
    assert [row["dimensions"] for row in rows if row["split"] == "test1"] == [1, 2, 4, 8]  # no size twice


@pytest.fixture(scope="module")
def corpus(tiny_corpus, tmp_path_factory):
    """Tables and audio of the tiny corpus."""
    loaded = load_corpus("msp_podcast", str(tiny_corpus), {}, tmp_path_factory.mktemp("cache"))
    (splits,) = make_data_splits(loaded, None, 0, AugmentationSettings(), [])
    return {str(key): table for key, table in splits.tables.items()}, splits.audio


@pytest.fixture(scope="module")
def library(tiny_encoder):
    settings = {"whisper": {"id": str(tiny_encoder), "pad_to_window": False}}
    return EncoderLibrary(settings, [all_states_branch("whisper")], None)


def test_a_run_writes_what_it_found(corpus, library, tmp_path):
    tables, audio = corpus
    result = run_probe(library, "whisper", tables, audio, tmp_path / "frames", 8, tmp_path / "out")
    figures = [f"{kind}_{split}" for kind in ("layers", "subspace") for split in ("development", "test1", "test2")]
    expected = {"probe_whisper.csv", "probe_whisper.json", *(f"probe_whisper_{figure}.png" for figure in figures)}
    assert {path.name for path in (tmp_path / "out").iterdir()} == expected
    assert json.loads((tmp_path / "out" / "probe_whisper.json").read_text()) == result
    assert result["name"] == "whisper" and result["source"] == library.identity("whisper")
    assert result["clips"] == {"train": 24, "development": 12, "test1": 10, "test2": 6}
    cache = pooled_cache(library, "whisper", tmp_path / "frames")
    pooled = {name: PooledStates(cache, table.fingerprints) for name, table in tables.items()}
    labels = {name: table.labels for name, table in tables.items()}
    assert result["layers"] == probe_layers(pooled, labels)
    assert result["best_hidden_state"] == best_hidden_state(result["layers"])
    with open(tmp_path / "out" / "probe_whisper.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(result["layers"]) + len(result["subspace"]) == 3 * 4 + 3 * 5
    for written, row in zip(rows, result["layers"] + result["subspace"], strict=True):
        assert written["probe"] == ("layers" if "hidden_state" in row else "subspace")
        assert int(written["hidden_state"]) == row.get("hidden_state", result["best_hidden_state"])
        assert int(written["dimensions"]) == row.get("dimensions", 16)
        assert written["split"] == row["split"] and float(written["penalty"]) == row["penalty"]
        assert {key: float(written[f"ccc_{key}"]) for key in KEYS} == row["ccc"]


def test_errors_come_before_any_clip_is_encoded(corpus, library, tmp_path):
    tables, audio = corpus
    rest = (audio, tmp_path / "frames", 8, tmp_path / "out")
    with pytest.raises(ValueError, match=r"encoder name '\.\./x' names files: letters, digits, - and _ only"):
        run_probe(library, "../x", tables, *rest)
    with pytest.raises(ValueError, match="no encoder 'hubert' to probe"):
        run_probe(library, "hubert", tables, *rest)
    labels = tables["test1"].labels.copy()
    labels[:2] = np.nan
    withheld = replace(tables["test1"], labels=labels)
    with pytest.raises(ValueError, match="split 'test1' has 10 clips, 2 of them without labels"):
        run_probe(library, "whisper", {**tables, "test1": withheld}, *rest)
    with pytest.raises(ValueError, match="split 'test1' has 0 clips"):
        run_probe(library, "whisper", {**tables, "test1": tables["test1"].take([])}, *rest)
    unrated = replace(tables["train"], labels=np.where(np.eye(24, 3, dtype=bool), tables["train"].labels, np.nan))
    with pytest.raises(ValueError, match="two clips of train, and of development, that were rated in any"):
        run_probe(library, "whisper", {**tables, "train": unrated.take([0, 1, 2])}, *rest)
    assert not (tmp_path / "out").exists() and not (tmp_path / "frames").exists()
