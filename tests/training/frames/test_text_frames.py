"""Frozen text encoders run once per transcript; a checkpoint that reads text carries its tokenizer."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerFast, RobertaConfig, RobertaForMaskedLM, T5Config

from speech_affect import AffectFusionModel
from speech_affect_training.corpora.clip_table import unlabelled_table
from speech_affect_training.encoders.library import EncoderLibrary
from speech_affect_training.frames.frame_cache import FrameCache
from speech_affect_training.frames.frame_dataset import FrameDataset
from speech_affect_training.frames.speech_frames import extract_frames, frame_caches
from speech_affect_training.frames.text_frames import clip_transcripts, extract_text_frames, text_inputs, tokenize
from speech_affect_training.jobs.checkpoint import verify_checkpoint, write_checkpoint
from speech_affect_training.jobs.prediction import predict, write_predictions
from speech_affect_training.settings.labels import LEARNT_FROM
from speech_affect_training.settings.split_key import SplitKey
from speech_affect_training.settings.systems import build_config, system_specs


WORDS = ["<s>", "<pad>", "</s>", "<unk>", "i", "am", "so", "very", "happy", "sad", "today", "and", "tired"]
TEXTS = ["I am so happy", "sad", "today I am very very tired and sad", "am I happy today", "unheard-of words"]
BRANCHES = [
    {"source": "mfb"},
    {"source": "text", "hidden_state": 1, "conv_kernel_size": 3, "conv_stride": 1},
    {"source": "text", "hidden_state": "last"},
]
LIMIT = 16  # of 18 positions, as RoBERTa's begin behind the padding token's


def save_tokenizer(folder, words=WORDS):
    """A word-level tokenizer with RoBERTa's special tokens."""
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    special = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)


@pytest.fixture(scope="module")
def text_encoder(tmp_path_factory):
    """A folder with a tiny RoBERTa as its masked language model, and its tokenizer."""
    folder = tmp_path_factory.mktemp("text_encoder")
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
    sizes |= {"vocab_size": len(WORDS), "max_position_embeddings": LIMIT + 2, "initializer_range": 0.2}
    config = RobertaConfig(**sizes, bos_token_id=0, pad_token_id=1, eos_token_id=2)
    RobertaForMaskedLM(config).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


@pytest.fixture
def library(text_encoder):
    return EncoderLibrary({"text": {"id": str(text_encoder)}}, BRANCHES, None)


def numbered(texts) -> dict[str, str]:
    return {f"{index:064x}": text for index, text in enumerate(texts)}


@torch.no_grad()
def test_cached_frames_are_those_of_the_encoder(library, text_encoder, tmp_path):
    transcripts = numbered(TEXTS)
    caches = extract_text_frames(transcripts, BRANCHES, library, tmp_path, 2)
    assert set(caches) == {"text-1", "text-last"}
    encoder = AutoModel.from_pretrained(text_encoder).eval()
    tokenizer = AutoTokenizer.from_pretrained(text_encoder)
    for fingerprint, text in transcripts.items():
        tokens = tokenizer(text, return_tensors="pt")
        outputs = encoder(input_ids=tokens["input_ids"], output_hidden_states=True)
        for name, states in (("text-1", outputs.hidden_states[1]), ("text-last", outputs.last_hidden_state)):
            frames = caches[name].read(fingerprint)
            assert frames.shape == (len(tokens["input_ids"][0]), 16)
            np.testing.assert_allclose(frames, states[0].numpy(), atol=2e-3, rtol=1e-3)
    assert caches["text-1"].read(f"{2:064x}").shape[0] == 8 + 2  # words and the two special tokens


def test_nothing_is_computed_twice(library, tmp_path, monkeypatch):
    built, load = [], EncoderLibrary.backbone
    monkeypatch.setattr(EncoderLibrary, "backbone", lambda self, name: built.append(name) or load(self, name))
    written, write = [], FrameCache.write_batch
    monkeypatch.setattr(FrameCache, "write_batch", lambda self, batch: written.extend(batch) or write(self, batch))
    # the same words are the same text, however they are written
    caches = extract_text_frames(numbered(["so sad", "So  sad", "sad"]), BRANCHES[1:2], library, tmp_path, 2)
    assert built == ["text"] and len(written) == 2
    np.testing.assert_array_equal(caches["text-1"].read(f"{0:064x}"), caches["text-1"].read(f"{1:064x}"))
    extract_text_frames(numbered(["sad", "happy"]), BRANCHES[1:2], library, tmp_path, 2)
    assert built == ["text", "text"] and len(written) == 3


def test_what_is_read_has_an_identity(library, tmp_path):
    first = extract_text_frames(numbered(["sad", "happy"]), BRANCHES, library, tmp_path, 2)["text-1"]
    other = extract_text_frames(numbered(["sad", "so happy"]), BRANCHES, library, tmp_path, 2)["text-1"]
    clips = list(numbered(["", ""]))
    assert first.text_fingerprint(clips[:1]) == other.text_fingerprint(clips[:1])
    assert first.text_fingerprint(clips) not in (other.text_fingerprint(clips), first.text_fingerprint(clips[::-1]))
    for call in (first.read, lambda clip: first.text_fingerprint([clip])):
        with pytest.raises(ValueError, match="'text-1' reads the transcript, and clip unknown has none"):
            call("unknown")


def test_branches_of_audio_and_of_text_keep_apart(library, clips, tmp_path):
    assert set(frame_caches(BRANCHES, library, tmp_path)) == {"mfb"}
    caches = extract_frames(clips, BRANCHES, library, tmp_path, 2)
    assert set(caches) == {"mfb"} and not caches["mfb"].missing(clips)
    assert extract_frames(clips, BRANCHES[1:], library, tmp_path, 2) == {}
    assert extract_text_frames({}, BRANCHES[:1], library, tmp_path, 2) == {}
    assert EncoderLibrary({}, BRANCHES[:1], None).text_names == []
    lower = EncoderLibrary({"text": {"id": str(library.sources["text"].folder)}}, BRANCHES[:2], None)
    assert len(lower.backbone("text").encoder.layer) == 2  # no branch reads the third


def test_texts_are_cut_where_the_encoder_ends(library, tmp_path):
    tokenizer = library.tokenizer("text")
    (tokens,) = tokenize(tokenizer, ["happy " * 40])
    assert tokens == [0] + [WORDS.index("happy")] * (LIMIT - 2) + [2]
    caches = extract_text_frames(numbered(["happy " * 40]), BRANCHES, library, tmp_path, 2)
    assert caches["text-1"].read(f"{0:064x}").shape == (LIMIT, 16)
    batch = text_inputs([[0, 5, 2], [0, 2]])
    assert batch["input_ids"].tolist() == [[0, 5, 2], [0, 2, 0]]
    assert batch["text_attention_mask"].tolist() == [[True, True, True], [True, True, False]]


def test_a_tokenizer_without_a_padding_token_pads_all_the_same(text_encoder, tmp_path):
    """As GPT-2's."""
    folder = shutil.copytree(text_encoder, tmp_path / "unpadded")
    whole = AutoTokenizer.from_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=whole.backend_tokenizer, eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    assert AutoTokenizer.from_pretrained(folder).pad_token is None
    tokenizer = EncoderLibrary({"text": {"id": str(folder)}}, BRANCHES, None).tokenizer("text")
    padded = tokenizer(["so happy", "sad"], padding=True)
    assert padded["attention_mask"] == [[1, 1, 1, 1], [1, 1, 1, 0]]


def test_transcripts_of_the_splits(make_table):
    def table(fingerprints, *texts):
        return make_table(len(texts), fingerprints=list(fingerprints), transcripts=texts)

    splits = {"train": table("ab", "so sad", "happy"), "test1": table("c", "sad")}
    assert clip_transcripts(splits) == {"a": "so sad", "b": "happy", "c": "sad"}
    lacking = {"train": table("abc", None, "happy", " "), "test2": table("e", "sad"), "test1": table("d", None)}
    with pytest.raises(ValueError, match="these clips lack: 2 of 3 in train, 1 of 1 in test1. Add the transcripts"):
        clip_transcripts(lacking)
    with pytest.raises(ValueError, match="a clip of train has the same audio as another, .* 'happy' and 'sad'"):
        clip_transcripts({"train": table("aa", "sad", "happy")})


def test_tokenizers_that_do_not_fit(text_encoder, tmp_path):
    bare, other = tmp_path / "bare", tmp_path / "other"
    for folder in (bare, other):
        shutil.copytree(text_encoder, folder, ignore=shutil.ignore_patterns("token*"))
    save_tokenizer(other, [*WORDS, "word"])
    with pytest.raises(ValueError, match="bare has no tokenizer; a text encoder needs one of .*tokenizer.json"):
        EncoderLibrary({"text": {"id": str(bare)}}, BRANCHES, None).tokenizer("text")
    with pytest.raises(ValueError, match="has 14 tokens, but the encoder 13: they do not belong together"):
        EncoderLibrary({"text": {"id": str(other)}}, BRANCHES, None).tokenizer("text")


def test_encoders_and_states_that_cannot_be_read(library, text_encoder, tmp_path):
    T5Config().save_pretrained(tmp_path)
    shutil.copy(text_encoder / "model.safetensors", tmp_path)
    with pytest.raises(ValueError, match="the text encoder t5 has a decoder too"):
        EncoderLibrary({"text": {"id": str(tmp_path)}}, BRANCHES, None)
    with pytest.raises(ValueError, match="hidden_state 4 of 'text' does not exist: it has 0 to 3"):
        extract_text_frames(numbered(TEXTS), [{"source": "text", "hidden_state": 4}], library, tmp_path, 2)


class FinishedJob(SimpleNamespace):
    """As much of a job as a checkpoint is made from."""

    fingerprint = "f"
    needed, initial = (), None
    tables = dict.fromkeys(map(SplitKey, LEARNT_FROM), SimpleNamespace(fingerprints=[]))

    def result(self):
        return {"development": {"ccc_mean": 0.5}}

    def settings(self):
        return {}

    def predictions_path(self, key):
        return self.folder / f"predictions_{key}.csv"

    def model(self):
        return self.trained


def make_job(library, clips, tmp_path, branches):
    """The job of an untrained model with its predictions from cached frames, and its clips."""
    specs = system_specs({"text": {"role": "teacher", "branches": branches}}, {"text": {}}, None)
    config = build_config(specs["text"], library.configs, {"conv_channels": 8}, (1.0, 7.0), [], [])
    model = AffectFusionModel(config, with_front_end=False).eval()
    caches = extract_frames(clips, branches, library, tmp_path / "frames", 2)
    caches |= extract_text_frames(dict(zip(clips, TEXTS, strict=True)), branches, library, tmp_path / "frames", 2)
    assert set(caches) == {branch.name for branch in config.branches}
    table = unlabelled_table(list(clips), list(clips))
    job = FinishedJob(trained=model, spec=specs["text"], folder=tmp_path)
    predictions = predict(model, FrameDataset(table, caches, config), 1)
    write_predictions(job.predictions_path("development"), predictions)
    return job, {"file": table.files, "audio": list(clips.values()), "transcript": TEXTS}


@pytest.mark.parametrize("branches", [BRANCHES, BRANCHES[1:2]], ids=["fusion", "text alone"])
def test_a_checkpoint_carries_its_tokenizer(library, clips, tmp_path, branches):
    job, rows = make_job(library, clips, tmp_path, branches)
    folder = write_checkpoint([job], library, tmp_path / "system", {}, ())
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer("so happy").input_ids == [0, WORDS.index("so"), WORDS.index("happy"), 2]
    assert tokenizer.padding_side == "right" and tokenizer.model_max_length == LIMIT
    assert not [name for name in AutoModel.from_pretrained(folder).state_dict() if "pooler" in name]
    verify_checkpoint(folder, job, rows)
    with pytest.raises(RuntimeError, match="do not use this checkpoint"):
        verify_checkpoint(folder, job, {**rows, "transcript": TEXTS[::-1]})
    with pytest.raises(ValueError, match="reads the transcript: pass the transcripts of its 5 clips"):
        verify_checkpoint(folder, job, {**rows, "transcript": [*TEXTS[1:], None]})


def test_a_checkpoint_of_audio_has_no_tokenizer(library, clips, tmp_path):
    job, rows = make_job(library, clips, tmp_path, BRANCHES[:1])
    folder = write_checkpoint([job], library, tmp_path / "system", {}, ())
    assert not list(folder.glob("token*"))
    verify_checkpoint(folder, job, rows)
