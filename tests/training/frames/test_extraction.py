"""Frames are the same to the bit for any number of processes and after any kill, and each is made once."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

from speech_affect_training.frames.extraction import extract_missing, length_batches
from speech_affect_training.frames.frame_cache import FrameCache
from speech_affect_training.frames.frame_shards import ShardReader, read_index


SCRIPT = Path(__file__).with_name("extraction_processes.py")


def test_batches_are_of_like_length_the_longest_first():
    lengths = {"a": 3.0, "b": 1.0, "c": 2.0, "d": 1.0, "e": 9.0}
    assert length_batches(lengths, 2) == [["e", "a"], ["c", "b"], ["d"]]
    assert length_batches(dict(reversed(lengths.items())), 2) == length_batches(lengths, 2)
    assert length_batches({}, 2) == []
    # at most two of nine at once, padded: no more than 18 in all
    assert length_batches(lengths, 2, 9.0) == [["e", "a"], ["c", "b", "d"]]
    assert length_batches(lengths, 2, 2.0) == length_batches(lengths, 2)
    many = {f"{index:02d}": 1.0 for index in range(40)}
    assert [len(batch) for batch in length_batches(many, 2, 9.0)] == [18, 18, 4]
    with pytest.raises(ValueError, match="batch_size is 0; give 1 or more"):
        length_batches(lengths, 0)


@pytest.fixture
def caches(tmp_path):
    return {name: FrameCache(tmp_path, name, {}, "float32") for name in ("mfb", "whisper")}


LENGTHS = dict(zip("abcdefg", range(7), strict=True))


class Encoder:
    """Frames that tell which clips were in the batch with them."""

    def __init__(self):
        self.batches, self.names = [], []

    def __call__(self, batches, names):
        self.names.append(list(names))
        for batch in batches:
            self.batches.append("".join(batch))
            company = np.array([[ord(key) for key in (*batch, *"---")][:3]])
            yield {name: {key: company for key in batch} for name in names}


def extract(caches, keys="abcdefg", encoder=None) -> Encoder:
    encoder = encoder or Encoder()
    extract_missing(keys, LENGTHS.get, 3, caches, encoder, "clips")
    return encoder


def company(cache, key) -> str:
    return "".join(chr(int(code)) for code in cache.read(key)[0])


def test_each_clip_is_made_once_in_its_batch(caches):
    assert extract(caches).batches == ["gfe", "dcb", "a"]
    for cache in caches.values():
        assert [company(cache, key) for key in "abcdefg"] == ["a--", "dcb", "dcb", "dcb", "gfe", "gfe", "gfe"]
    again = extract(caches)
    assert again.batches == again.names == []


def test_a_batch_of_which_a_clip_is_missing_is_made_as_a_whole_and_the_rest_kept(caches):
    extract(caches, "abcdef")
    assert company(caches["mfb"], "f") == "fed"
    assert extract(caches).batches == ["gfe"]
    assert company(caches["mfb"], "g") == "gfe"
    assert company(caches["mfb"], "f") == "fed"  # a job may have been trained on it


def test_only_what_lacks_frames_is_run(caches):
    extract({"mfb": caches["mfb"]})
    encoder = extract(caches)
    assert encoder.names == [["whisper"]] and encoder.batches == ["gfe", "dcb", "a"]


def test_an_error_gives_the_files_free(caches, tmp_path):
    class Failing(Encoder):
        def __call__(self, batches, names):
            yield from super().__call__(batches[:1], names)
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        extract(caches, encoder=Failing())
    assert extract(caches).batches == ["dcb", "a"]
    assert len(list(tmp_path.rglob("*.frames"))) == 2  # one of each cache: the first run's is continued


@pytest.fixture(scope="module")
def extracted(tmp_path_factory, tiny_encoder):
    """What extraction_processes.py makes of 11 clips: a cache for each of its ways."""
    folder = tmp_path_factory.mktemp("extraction")
    encoders = {"whisper": {"id": str(tiny_encoder)}}
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    sizes |= {"conv_dim": (8,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
    for norm in ("layer", "group"):
        torch.manual_seed(0)
        stable = {"feat_extract_norm": norm, "do_stable_layer_norm": norm == "layer"}
        config = HubertConfig(**sizes, **stable, initializer_range=0.2)
        HubertModel(config).save_pretrained(folder / norm)
        Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder / norm)
        encoders[f"hubert_{norm}"] = {"id": str(folder / norm)}
    (folder / "encoders.json").write_text(json.dumps(encoders))
    (folder / "clips").mkdir()
    generator = np.random.default_rng(0)
    for number, seconds in enumerate(generator.permutation(np.linspace(0.3, 1.3, 11))):
        noise = 0.1 * generator.standard_normal(round(seconds * 16000))
        soundfile.write(folder / "clips" / f"{number}.wav", noise, 16000)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), *(str(folder / name) for name in ("encoders.json", "clips", "frames"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / "frames"


WAYS = ["1", "3", "killed", "killed_of_2"]


def test_frames_are_the_same_however_they_are_made(extracted):
    assert sorted(path.name for path in extracted.iterdir()) == sorted(WAYS)
    made = {}
    for way in WAYS:
        for folder in (extracted / way).iterdir():
            keys = Counter(key for index in folder.glob("*.index") for key in read_index(index)[0])
            assert len(keys) == 11 and set(keys.values()) == {1}, (way, folder.name)  # no clip is made twice
            reader = ShardReader(folder, "float32" if folder.name.startswith("mfb") else "float16")
            reader.refresh()
            for key in reader.entries:
                frames = reader.read(key)
                made.setdefault((folder.name, key), {})[way] = (frames.shape, frames.tobytes())
        if way in ("1", "killed"):  # what a killed one began is continued
            assert len(list((extracted / way).rglob("*.frames"))) == 4
    assert len(made) == 4 * 11
    for ways in made.values():
        assert list(ways) == WAYS and len(set(ways.values())) == 1
    # padding changes the bits, or this test would say nothing
    assert len({shape for ways in made.values() for shape, _ in ways.values()}) > 11
