"""The command of the README that works out the memory of a recipe, and that what it takes to be linear is so."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from .readme_blocks import block


def test_memory_of_training_an_encoder_grows_linearly(monkeypatch, capsys):
    """From copies with one and two layers and seconds, against all three layers and eight seconds."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    from benchmarks import finetuning
    from transformers import Wav2Vec2Config

    from speech_affect_training.settings.recipe import parse_arguments

    sizes = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 128}
    tiny = Wav2Vec2Config(**sizes, conv_dim=(16,) * 7, feat_extract_norm="layer", do_stable_layer_norm=True)
    monkeypatch.setitem(finetuning.CONFIGS, "facebook/wav2vec2-large-robust", tiny)
    run, _ = parse_arguments(["--recipe", "finetune_w2v2", "--data_dir", "not_read", "--bf16", "false"])
    spec = replace(run.systems["finetuned"], branches=[{"source": "wav2vec2", "hidden_state": "last"}])
    for checkpointing in (False, True):
        found = finetuning.measure(spec, run.encoders, 8.0, checkpointing)
        model, read = finetuning.shrunk(spec, run.encoders, 3)
        assert read == 3
        expected = finetuning.kept_bytes(model, 8.0, checkpointing) / 1e6
        if checkpointing:
            assert expected < found["batch_mb"] < 3 * expected
        else:
            assert found["batch_mb"] == pytest.approx(expected, rel=0.02)
        weights = sum(16 * w.numel() if w.requires_grad else 4 * w.numel() for w in model.parameters())
        assert found["weights_mb"] == pytest.approx(weights / 1e6)
    finetuning.main(block("benchmarks/finetuning.py").split()[2:])
    number = r"[\d.]+ GB"
    line = rf"finetuned, 32 clips of 11 s: weights {number}, batch {number}, sum {number}\n"
    assert re.fullmatch(line, capsys.readouterr().out)
