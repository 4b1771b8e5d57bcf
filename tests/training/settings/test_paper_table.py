"""The paper's table from end to end, its encoders replaced by tiny ones of the same families."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch
import yaml
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoTokenizer,
    HubertConfig,
    HubertModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    Wav2Vec2Model,
)

from speech_affect_training.run import main
from speech_affect_training.settings.recipe import RECIPES


pytestmark = pytest.mark.usefixtures("figures_are_empty")
WORDS = ["<s>", "<pad>", "</s>", "<unk>", "good", "bad", "news", "today"]
LAYERS = 12  # the recipe reads the twelfth


@pytest.fixture(scope="module")
def graded_corpus(tiny_corpus, tmp_path_factory):
    """The tiny corpus with single graders and transcripts."""
    folder = tmp_path_factory.mktemp("graded") / "corpus"
    shutil.copytree(tiny_corpus, folder)
    generator = np.random.default_rng(0)
    with open(folder / "Labels" / "labels_consensus.csv", newline="") as file:
        consensus = list(csv.DictReader(file))
    (folder / "Transcripts").mkdir()
    with open(folder / "Labels" / "labels_detailed.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["FileName", "WorkerID", "EmoClass_Major", "EmoClass_Second", "EmoAct", "EmoVal", "EmoDom"])
        for row in consensus:
            for worker in range(3):
                grades = [
                    int(np.clip(round(float(row[f"Emo{d}"]) + generator.normal()), 1, 7))
                    for d in ("Act", "Val", "Dom")
                ]
                emotion = ["Angry", "Happy", "Sad", "Neutral"][generator.integers(4)]
                writer.writerow([row["FileName"], f"WORKER{worker:08d}", emotion, "", *grades])
            words = "good news" if float(row["EmoVal"]) > 4 else "bad news today"
            (folder / "Transcripts" / row["FileName"]).with_suffix(".txt").write_text(words)
    return folder


def speech_encoder(folder, config_class, model_class):
    torch.manual_seed(0)
    config = config_class(
        hidden_size=8,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        intermediate_size=8,
        conv_dim=[8] * 7,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
        vocab_size=8,
    )
    model_class(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory):
    """Name in the recipe -> folder."""
    root = tmp_path_factory.mktemp("encoders")
    speech_encoder(root / "hubert", HubertConfig, HubertModel)
    speech_encoder(root / "hubert_asr", HubertConfig, HubertModel)
    speech_encoder(root / "wav2vec2", Wav2Vec2Config, Wav2Vec2Model)
    config = RobertaConfig(
        vocab_size=len(WORDS), hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=8
    )
    RobertaModel(config).save_pretrained(root / "roberta")
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    special = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(root / "roberta")
    return {path.name: path for path in root.iterdir()}


def run(recipe: str, corpus, folder, **settings) -> dict:
    """Results of a short run."""
    settings |= {"recipe": recipe, "data_dir": corpus, "output_dir": folder / "out", "cache_dir": folder / "cache"}
    settings |= {"num_train_epochs": 1, "bootstrap_samples": 20, "job_workers": 1, "disable_tqdm": "true", "seeds": 0}
    return main([str(part) for name, value in settings.items() for part in (f"--{name}", value)])


def test_every_row_on_two_test_splits(graded_corpus, stand_ins, tmp_path):
    recipe = yaml.safe_load((RECIPES / "paper_table.yaml").read_text())
    assert set(recipe["encoders"]) == set(stand_ins)
    encoders = json.dumps({name: {"id": str(stand_ins[name])} for name in recipe["encoders"]})
    head = json.dumps({"conv_channels": 8, "gru_hidden_size": 8, "embedding_size": 8})
    small = {"per_device_train_batch_size": 12, "dataloader_num_workers": 0}
    results = run("paper_table", graded_corpus, tmp_path, encoders=encoders, head=head, **small)
    systems = {system["name"]: system for system in results["systems"]}
    assert list(systems) == list(recipe["systems"])
    for system in systems.values():
        assert {split: scores["n"] for split, scores in system["splits"].items()} == {"test1": 10, "test2": 6}
    assert systems["text"]["inputs"] == ["roberta-last"]
    assert set(systems["fusion_mtl"]["splits"]["test1"]["coverage"]) == {"0.68", "0.95"}
    assert set(systems["mfb"]["conditions"]) == {"test1", "test2"}
    assert len(systems["student_kd"]["conditions"]["test1"]) == 11
    settings = json.loads((tmp_path / "out" / "fusion_mtl" / "run.json").read_text())["job"]
    assert settings["config"]["emotion_names"] == ["anger", "happiness", "neutral", "sadness"]
    assert settings["config"]["gender_names"] == ["Female", "Male"]
    assert AutoTokenizer.from_pretrained(tmp_path / "out" / "text")("good news")["input_ids"] == [0, 4, 6, 2]


def test_optional_rows_and_asr_tuned_encoders(graded_corpus, tmp_path, capsys):
    """A row whose encoder is not found is left out; the CTC head of an ASR-tuned encoder is not read."""
    torch.manual_seed(0)
    speech_encoder(tmp_path / "tuned", Wav2Vec2Config, Wav2Vec2ForCTC)
    recipe = {
        "encoders": {"tuned": {"id": str(tmp_path / "tuned")}, "nowhere": {"id": "nobody/nothing"}},
        "systems": {
            "mfb": {"role": "baseline"},
            "ssl": {"role": "single", "branches": [{"source": "tuned", "hidden_state": 2}], "optional": True},
            "text": {"role": "single", "branches": [{"source": "nowhere"}], "optional": True},
        },
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    systems = run(tmp_path / "recipe.yaml", graded_corpus, tmp_path)["systems"]
    assert {system["name"]: system["inputs"] for system in systems} == {"mfb": ["mfb"], "ssl": ["tuned-2"]}
    assert "system text is left out: Encoder 'nobody/nothing' was not found" in capsys.readouterr().err
