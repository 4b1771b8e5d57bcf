"""The code in a card runs, and the cards in the repository are those of its results."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, PreTrainedTokenizerFast

from speech_affect import AffectFeatureExtractor, AffectFusionConfig, AffectFusionModel
from speech_affect_training.reports.model_card import build_card, main
from speech_affect_training.settings.recipe import parse_arguments


ROOT = Path(__file__).resolve().parents[3]
RESULTS = ROOT / "model_cards" / "results" / "emodb" / "results.json"


def save_text_model(folder):
    words = ["[PAD]", "[UNK]", "and", "then", "they", "all", "left"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    backbone = BertConfig(vocab_size=len(words), max_position_embeddings=16, **sizes)
    config = AffectFusionConfig(
        branches=[{"source": "mfb"}, {"source": "words", "conv_kernel_size": 3, "conv_stride": 1}],
        encoders={"words": {"backbone": backbone}},
    )
    AffectFusionModel(config).save_pretrained(folder)
    AffectFeatureExtractor().save_pretrained(folder)


def test_the_code_in_cards_runs(results, tmp_path, monkeypatch):
    save_text_model(tmp_path / "fusion")
    audio_only = AffectFusionModel(AffectFusionConfig(branches=[{"source": "mfb"}], conv_channels=8))
    audio_only.save_pretrained(tmp_path / "student_kd")
    AffectFeatureExtractor().save_pretrained(tmp_path / "student_kd")
    results["systems"][1]["checkpoint"]["branches"][1] |= {"source": "words", "text": True}
    results["encoders"]["words"] = results["encoders"].pop("whisper")
    cards = [build_card(results, name).text for name in ("student_kd", "fusion")]
    blocks = [re.findall(r"^```python\n(.*?)^```", text, flags=re.M | re.S) for text in cards]
    assert [len(found) for found in blocks] == [2, 1]
    times = np.arange(70000) / 44100
    syllables = np.sin(2 * np.pi * 200 * times) * (times % 0.3 < 0.15)  # a steady sound is taken for background
    soundfile.write(tmp_path / "speech.wav", 0.3 * syllables, 44100)
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    command = [sys.executable, "-c", "\n".join([*blocks[0], *blocks[1]])]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    direct, whole, curve, read = done.stdout.strip().split("\n")
    values = r"{'activation': -?\d+\.\d+, 'valence': -?\d+\.\d+, 'dominance': -?\d+\.\d+"
    assert re.fullmatch(values + "}", direct) and re.fullmatch(values + "}", read)
    assert re.match(values + ", 'speech_ratio'", whole)
    assert len(re.findall("'start_s'", curve)) == 3  # 1.6 s in windows of 1 s every 0.5 s


@pytest.mark.parametrize("name", ["student_kd", "fusion"])
def test_cards_in_the_repository_are_those_of_the_results(name, tmp_path):
    main(["--results", str(RESULTS), "--system", name, "--output", str(tmp_path / "card.md")])
    made, kept = (tmp_path / "card.md").read_text(), (ROOT / "model_cards" / "emodb" / f"{name}.md").read_text()
    assert made == kept, f"rebuild model_cards/emodb/{name}.md with speech_affect_training.reports.model_card"
    assert "> **Nobody rated dominance.**" in kept and "/tmp" not in kept


def test_results_in_the_repository_have_the_facts_of_the_recipe():
    results = json.loads(RESULTS.read_text())
    run, _ = parse_arguments(["--recipe", "emodb", "--data_dir", "anywhere"])
    facts = results["corpus"]["facts"]
    assert facts == {name: getattr(run.corpus_facts, name) for name in facts}
    assert {name: encoder["id"] for name, encoder in results["encoders"].items()} == {
        name: encoder["id"] for name, encoder in run.encoders.items()
    }
    for system in results["systems"]:
        spec = run.systems[system["name"]]
        assert system["checkpoint"]["augmented"] == spec.augmented
        assert [b["source"] for b in system["checkpoint"]["branches"]] == [b["source"] for b in spec.branch_settings]
