"""Every parser of untrusted bytes reads anything, or raises an error that it documents."""

import csv
import io
import json
import struct
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speech_affect.audio import AudioFile
from speech_affect.onnx.metadata import OnnxMetadata
from speech_affect_training.corpora.corpus import BadRows, CorpusError
from speech_affect_training.corpora.csv_rows import csv_rows
from speech_affect_training.corpora.msp_labels import (
    read_consensus,
    read_grades,
    read_partitions,
    read_speakers,
)
from speech_affect_training.encoders.encoder_sources import weight_files
from speech_affect_training.encoders.whisper_from_ctranslate2 import read_ctranslate2
from speech_affect_training.files import read_json
from speech_affect_training.frames.frame_shards import read_index
from speech_affect_training.settings.corpus_facts import corpus_facts
from speech_affect_training.settings.recipe_file import read_mapping, read_recipe

from .files import encode
from .sounds import bursts


# what parsers often fail on: nesting deeper than Python's stack, huge or invalid numbers, invalid text
DIFFICULT = (
    *(b"[" * 10_000, b'{"a":' * 10_000, b"9" * 5000, b'{"a": 1e999, "b": NaN}', b"{a: *a}", b"{? {a: b} : c}"),
    *(b"[]", b"3", b"null", b'"a"', b"\xff\xfea\0", b"\0" * 100, b"\xef\xbb\xbf", b'a;\r\rb,"c', b""),
)
EDIT = st.tuples(
    st.floats(0, 1), st.sampled_from([0, 1, 4, 30]), st.binary(max_size=6) | st.sampled_from([b"[", b"{"])
)
TURN = "MSP-PODCAST_0001_0008.wav"
CONSENSUS = ("FileName", "EmoClass", "EmoAct", "EmoVal", "EmoDom", "SpkrID", "Gender", "Split_Set")
GRADES = ("FileName", "Workers", "EmoClass_Major", "EmoClass_Second", "EmoAct", "EmoVal", "EmoDom")
LABEL = (TURN, "N", "2.2", "4.0", "2.6", "30", "Male", "Train")
GRADE = (TURN, "WORKER00000001", "Neutral", "Concerned,Amused", "1.0", "4.0", "1.0")
LABELS_TXT = b"""MSP-PODCAST_0001_0008.wav; N; A:2.2; V:4.0; D:2.6;
WORKER00000001; Neutral; Concerned,Other-a; b; A:1.000000; V:4.000000; D:1.000000;
"""
INDEX = b'{"ab":[0,2,3,1],"cd":[24,1,3,null]}'


@dataclass(repr=False)
class Parser:
    """A parser of bytes, the errors that it may raise, and undamaged contents."""

    parse: Callable[[bytes], object]
    errors: tuple[type[Exception], ...]
    seeds: list[bytes] = field(default_factory=list)

    def rejects(self, content: bytes) -> bool:
        """Whether it raises one of its errors; any other is raised."""
        try:
            self.parse(content)
        except self.errors:
            return True
        return False


def of_path(read: Callable[[Path], object], name: str) -> Callable[[bytes], object]:
    """Parse bytes by a function that reads a file of this name."""

    def parse(content: bytes) -> object:
        with tempfile.TemporaryDirectory() as folder:
            for other in ("config.json", "a.safetensors"):  # beside an index of weights
                Path(folder, other).touch()
            path = Path(folder, name)
            path.write_bytes(content)
            return read(path)

    return parse


def table(*rows: tuple) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def read_audio(content: bytes) -> None:
    with AudioFile(content) as file:
        for number, _ in enumerate(file.blocks(4096)):
            if number > 100:  # a header may declare hours
                return


def read_metadata(content: bytes) -> OnnxMetadata:
    lines = content.decode(errors="replace").split("\n")
    return OnnxMetadata.from_strings(dict(zip([each.name for each in fields(OnnxMetadata)], lines, strict=False)))


def consensus(path: Path) -> list:
    return list(read_consensus(path, BadRows("skip")))


def grades(path: Path) -> dict:
    return read_grades(path, BadRows("skip"))


def ctranslate2() -> bytes:
    """Two variables and an alias, as CTranslate2 stores them."""

    def name(text: str) -> bytes:
        return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"

    def array(values: np.ndarray, dtype: int) -> bytes:
        shape = struct.pack(f"<B{values.ndim}I", values.ndim, *values.shape)
        return shape + struct.pack("<BI", dtype, values.nbytes) + values.tobytes()

    weight = name("a/weight") + array(np.ones((2, 3), np.float32), 0)
    scale = name("scale") + array(np.array(3, np.int8), 1)
    head = struct.pack("<I", 6) + name("WhisperSpec") + struct.pack("<I", 3)
    return head + struct.pack("<I", 2) + weight + scale + struct.pack("<I", 1) + name("b/weight") + name("a/weight")


METADATA = OnnxMetadata(
    *("affect", 16000, (1.0, 7.0), ("activation", "valence", "dominance"), ("anger",), None, True, 1600),
    *(None, 400, 160, 160, "float32", "a1", "0.1.0"),
)
SOUND = bursts(np.random.default_rng(0), 800, 8000)
SOUND_FILES = {"wav": "PCM_16", "flac": "PCM_16", "vorbis": "VORBIS", "mp3": "MPEG_LAYER_III"}
LABELS_JSON = {TURN: dict(zip(CONSENSUS[1:], LABEL[1:], strict=True))}
GRADES_JSON = {TURN: {GRADE[1]: dict(zip(GRADES[2:], GRADE[2:], strict=True))}}
LABEL_FILES = {
    "consensus.csv": (consensus, table(CONSENSUS, LABEL)),
    "consensus.json": (consensus, json.dumps(LABELS_JSON).encode()),
    "grades.csv": (grades, table(GRADES, GRADE)),
    "grades.txt": (grades, LABELS_TXT),
    "grades.json": (grades, json.dumps(GRADES_JSON).encode()),
    "partitions.txt": (
        lambda path: read_partitions(path, BadRows("skip")),
        f"Train; {TURN}\nTest1; b.wav;\n".encode(),
    ),
    "table.csv": (lambda path: list(csv_rows(path)), table(LABEL, LABEL)),
}
PARSERS = {
    "audio": Parser(read_audio, (ValueError,), [encode(SOUND, 8000, *kind) for kind in SOUND_FILES.items()]),
    "onnx_metadata": Parser(read_metadata, (ValueError,), ["\n".join(METADATA.to_strings().values()).encode()]),
    "ctranslate2": Parser(of_path(lambda path: read_ctranslate2([path]), "model.bin"), (ValueError,), [ctranslate2()]),
    "weights_index": Parser(
        of_path(lambda path: weight_files(path.parent), "model.safetensors.index.json"),
        (ValueError, FileNotFoundError),
        [b'{"metadata": {}, "weight_map": {"a.b": "a.safetensors"}}'],
    ),
    **{name: Parser(of_path(read, name), (CorpusError,), [seed]) for name, (read, seed) in LABEL_FILES.items()},
    "speakers.txt": Parser(of_path(read_speakers, "speakers.txt"), (), [f"Speaker_30; Male\n{TURN}; 30\n".encode()]),
    "corpus_facts": Parser(
        lambda content: corpus_facts(content.decode(errors="replace"), "table"),
        (ValueError,),
        [b"msp_podcast", b"{labels: ratings, license: mit, terms: ask, language: en}"],
    ),
    "recipe": Parser(
        of_path(read_recipe, "recipe.yaml"),
        (ValueError,),
        [b"systems:\n  mfb: {role: baseline, branches: [mfb]}\nseeds: [0, 1]\nlearning_rate: 1.0e-3\n"],
    ),
    "recipe_mapping": Parser(
        lambda content: read_mapping("head", content.decode(errors="replace")), (ValueError,), [b"{conv_channels: 8}"]
    ),
    "our_json": Parser(of_path(read_json, "run.json"), (), [b'{"fingerprint": "ab", "job": {}}']),
    "frames.index": Parser(of_path(read_index, "frames.index"), (), [b"%08x %s\n" % (zlib.crc32(INDEX), INDEX)]),
}
every_parser = pytest.mark.parametrize("name", PARSERS)


def examples(number: int):
    return settings(max_examples=number, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@every_parser
def test_undamaged_contents_are_read(name):
    for seed in PARSERS[name].seeds:
        assert not PARSERS[name].rejects(seed)
        assert PARSERS[name].parse(seed) or name == "audio"


@every_parser
def test_difficult_contents_are_read_or_rejected(name):
    for content in DIFFICULT:
        PARSERS[name].rejects(content)


@every_parser
@examples(40)
@given(data=st.data())
def test_damaged_contents_are_read_or_rejected(name, data):
    content = bytearray(data.draw(st.sampled_from(PARSERS[name].seeds)))
    for place, length, put in data.draw(st.lists(EDIT, min_size=1, max_size=5)):
        start = int(place * len(content))
        content[start : start + length] = put
    PARSERS[name].rejects(bytes(content))


@every_parser
@examples(20)
@given(content=st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
def test_any_content_is_read_or_rejected(name, content):
    PARSERS[name].rejects(content)


def test_an_undocumented_error_is_noticed():
    with pytest.raises(UnicodeDecodeError):
        Parser(bytes.decode, (KeyError,)).rejects(b"\xff")
    assert Parser(bytes.decode, (ValueError,)).rejects(b"\xff") and not Parser(bytes.decode, ()).rejects(b"a")
