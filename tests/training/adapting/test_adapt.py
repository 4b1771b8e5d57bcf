"""A checkpoint that is adapted to a table of clips, and what is refused."""

import json
import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoProcessor, WhisperConfig, WhisperModel

from speech_affect import AffectFeatureExtractor, AffectProcessor, AffectStudentConfig, AffectStudentModel
from speech_affect.audio import load_waveform
from speech_affect.cli.main import main
from speech_affect_training.adapting import adapt as adapting
from speech_affect_training.adapting import card as card_module
from speech_affect_training.adapting import output_layer
from speech_affect_training.adapting.card import adapted_card
from speech_affect_training.jobs.learnt_clips import from_json


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setattr(output_layer, "STEPS", 5)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A small student on a scale of 1 to 7, with weights by chance."""
    folder = tmp_path_factory.mktemp("model") / "small"
    torch.manual_seed(1)
    sizes = {"conv_channels": 8, "gru_hidden_size": 8, "embedding_size": 8, "predict_uncertainty": True}
    AffectStudentModel(AffectStudentConfig(**sizes)).save_pretrained(folder)
    AffectProcessor(AffectFeatureExtractor()).save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# small\n")
    return folder


@pytest.fixture
def ratings(source, write_clip, tmp_path):
    """Makes a table, 0 to 100, of clips and the model's own values: activation three times as far from 40, valence too
    for `valence` clips, dominance for none.
    """

    def make(clips: int = 12, valence: int = 12) -> str:
        paths = [write_clip(f"{index}")["path"] for index in range(clips)]
        values = (estimates(source, paths) - 1) / 6 * 100
        rows = ["audio,activation,valence,speaker"]
        for index, (path, own) in enumerate(zip(paths, values, strict=True)):
            rated = 40 + 3 * (own - values.mean(axis=0))
            name = path.rpartition("/")[2]
            rows.append(f"audio/{name},{rated[0]:.4f},{f'{rated[1]:.4f}' if index < valence else ''},s{index % 4}")
        (tmp_path / "ratings.csv").write_text("\n".join(rows) + "\n")
        return str(tmp_path / "ratings.csv")

    return make


def estimates(folder, paths) -> np.ndarray:
    """(clips, 3) of a checkpoint as anyone loads it, clip by clip."""
    model, processor = AutoModel.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    inputs = [processor(audio=load_waveform(path), return_tensors="pt") for path in paths]
    with torch.no_grad():
        return np.concatenate([model(**each).logits.double().numpy() for each in inputs])


def command(source, table, output, *more, options="label_range: [0, 100], speaker_column: speaker") -> list[str]:
    words = ["adapt", source, "--data-dir", table, "--output", output, "--corpus-options", f"{{{options}}}"]
    return [*map(str, words), "--bootstrap-samples", "50", *more]


def test_a_model_is_on_the_scale_of_the_ratings(source, ratings, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(output_layer, "LEARNING_RATE", 0.0)  # nothing is better than the map
    table = ratings()
    assert main(command(source, table, tmp_path / "new")) == 0
    printed, result = capsys.readouterr().out, json.loads((tmp_path / "new" / "adapt.json").read_text())
    assert result["fit"] == "a scale and shift" and result["adapted"] == {"activation": 12, "valence": 12}
    assert result["model"] == "small" and result["folds"] == {"number": 4, "by_speaker": True}
    ccc = result["out_of_fold"]["ccc"]
    assert ccc["mean"]["before"]["estimate"] < 0.5 and ccc["mean"]["after"]["estimate"] > 0.7
    assert set(ccc) == {"activation", "valence", "mean"}
    assert f"{ccc['valence']['after']['estimate']:.3f}" in printed and "dominance  too few ratings" in printed

    paths = [tmp_path / "audio" / f"{index}.wav" for index in range(12)]
    before, after = (estimates(folder, paths) for folder in (source, tmp_path / "new"))
    before = (before - 1) / 6 * 100
    assert AutoModel.from_pretrained(tmp_path / "new").config.label_range == [0, 100]
    # nobody rated dominance: it is what it was, moved from 1..7 to 0..100
    assert after[:, 2] == pytest.approx(before[:, 2], abs=1e-3)
    # the ratio of the deviations is 3, of 12 clips and 10 for the scale of the model
    scale = 3 ** (12 / 22)
    assert after[:, :2] == pytest.approx(40 + scale * (before - before.mean(axis=0))[:, :2], abs=0.01)
    assert ((after >= 0) & (after <= 100)).all()


def test_the_same_seed_gives_the_same_folder(source, ratings, tmp_path):
    table = ratings()
    folders = [tmp_path / "first" / "new", tmp_path / "second" / "new"]
    for folder in folders:
        assert main(command(source, table, folder, "--seed", "3")) == 0
    first, second = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders)
    assert first == second and {"adapt.json", "run.json", "README.md", "model.safetensors"} <= set(first)


def test_a_folder_is_whole_or_not_there(source, ratings, tmp_path, monkeypatch):
    def interrupted(*given):
        raise KeyboardInterrupt

    words = command(source, ratings(), tmp_path / "new")
    with monkeypatch.context() as patch:
        patch.setattr(adapting, "_check_reloaded", interrupted)
        assert main(words) == 130
    assert not (tmp_path / "new").exists()
    assert main(words) == 0
    assert not list(tmp_path.glob(".new*"))


def test_standard_deviations_are_calibrated_on_the_ratings(source, ratings, tmp_path):
    main(command(source, ratings(), tmp_path / "new"))
    before, after = (
        AutoModel.from_pretrained(folder).regressor.uncertainty_scale for folder in (source, tmp_path / "new")
    )
    assert (after[:2] < before[:2] / 2).all()  # random weights expect half the scale, and the ratings are close
    assert after[2] == before[2] == 1


def test_the_card_says_what_was_done(source, ratings, tmp_path):
    facts = (
        "{labels: By the sum., license: mine, terms: Ask me., word_labelled: [valence], weights_license: apache-2.0}"
    )
    main(command(source, ratings(), tmp_path / "new", "--corpus-facts", facts))
    card = (tmp_path / "new" / "README.md").read_text()
    assert "license: apache-2.0" in card and "# new: small, adapted to ratings" in card and "Ask me." in card
    assert "| valence (by word) |" in card and "| activation |" in card
    of = json.loads((tmp_path / "new" / "adapt.json").read_text())["out_of_fold"]["ccc"]
    assert of["mean"] == of["activation"] and "| mean |" in card
    assert "dominance: it stays as it was" in card and "4 groups\nof speakers" in card
    assert 'pipeline("speech-emotion-regression", model="new"' in card and "Ask me.\n\n## Limits" in card
    run = json.loads((tmp_path / "new" / "run.json").read_text())
    assert run["corpus"]["word_labelled"] == ["valence"] and run["typical_error"]["rmse"]["dominance"] is None
    assert 0 < run["typical_error"]["rmse"]["activation"] < 5
    assert len(from_json(run)["train"]) == 12


def test_a_dimension_of_too_few_ratings_stays_and_a_table_of_too_few_is_refused(source, ratings, tmp_path, capsys):
    assert main(command(source, ratings(valence=9), tmp_path / "new")) == 0
    result = json.loads((tmp_path / "new" / "adapt.json").read_text())
    assert result["adapted"] == {"activation": 12} and result["unchanged"] == ["valence", "dominance"]
    assert main(command(source, ratings(clips=9), tmp_path / "other")) == 1
    expected = "ratings has too few rated clips: activation of 9, valence of 9, dominance of 0; 10 or more are needed"
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_without_speakers_the_folds_are_of_clips(source, ratings, tmp_path):
    assert main(command(source, ratings(), tmp_path / "new", options="label_range: [0, 100]")) == 0
    result = json.loads((tmp_path / "new" / "adapt.json").read_text())
    assert result["folds"] == {"number": 5, "by_speaker": False} and result["speakers"] == 0
    assert "speakers were not known" in (tmp_path / "new" / "README.md").read_text()


def test_a_table_needs_its_label_range(source, ratings, tmp_path, capsys):
    assert main(["adapt", str(source), "--data-dir", ratings(10), "--output", str(tmp_path / "new")]) == 1
    expected = "error: corpus_options {} do not fit corpus 'table': it needs label_range\n"
    assert capsys.readouterr().err == expected


def test_models_of_the_package_are_named_and_a_table_that_is_not_there_is_called_a_table(
    source, ratings, tmp_path, capsys
):
    for model, table, message in (
        ("student_nano", ratings(clips=9), "ratings has too few rated clips"),
        ("teacher", ratings(clips=9), "there is no released model 'teacher'"),
        (source, tmp_path / "nowhere.csv", "there is no file or folder"),
    ):
        assert main(command(model, table, tmp_path / "new")) == 1
        assert message in capsys.readouterr().err


def test_other_models_and_folders_in_use_are_refused(source, ratings, tmp_path, capsys):
    sizes = {"d_model": 8, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 1}
    sizes |= {"decoder_attention_heads": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8, "vocab_size": 50}
    tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    config = WhisperConfig(**sizes, **tokens, suppress_tokens=None, begin_suppress_tokens=None)
    WhisperModel(config).save_pretrained(tmp_path / "whisper")
    table = ratings()
    for model, output, message in (
        (tmp_path / "whisper", tmp_path / "new", "is a model of type whisper; only models of this package"),
        (source, tmp_path / "audio", "is there already; name a folder that is not"),
        (source, source / "config.json" / "new", "config.json is a file; name another"),
    ):
        assert main(command(model, table, output)) == 1
        assert message in capsys.readouterr().err
    logging.getLogger("transformers").setLevel(logging.WARNING)


def test_the_card_of_a_model_that_reads_text_shows_how_to_give_it(monkeypatch):
    def not_there(*given):
        raise OSError

    monkeypatch.setattr(card_module, "cached_file", not_there)  # instead of asking the Hub
    rises = {"mean": {key: {"estimate": 0.5, "low": 0.4, "high": 0.6} for key in ("before", "after")}}
    result = {"model": "a/b", "corpus": "mine", "label_range": [1, 5], "clips": 20, "speakers": 0, "unchanged": []}
    result |= {"adapted": {"valence": 20}, "by_word": [], "fit": "a scale and shift", "out_of_fold": {"ccc": rises}}
    result |= {"folds": {"number": 5, "by_speaker": False}, "seed": 0, "bootstrap_samples": 50}
    config = SimpleNamespace(reads_text=True, reads_audio=False)
    assert "fitted to 20 clips of mine." in adapted_card(result, "no/such", "new", config, None, "A note.").content
    unfitted = adapted_card(result | {"fit": "nothing changed"}, "no/such", "new", config, None, "A note.")
    assert "The model `a/b`, tested on 20 clips of mine." in unfitted.content
    card = adapted_card(result, "no/such", "new", config, None, "A note.")
    assert 'processor(text="and then they all left"' in card.content and "pipeline(" not in card.content
    assert card.data.pipeline_tag == "text-classification" and card.data.base_model == "no/such"
    assert card.data.license == "other" and "its terms were not given" in card.content
