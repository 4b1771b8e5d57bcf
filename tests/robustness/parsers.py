"""What of this package reads bytes that anybody may have written, each with the errors that it promises."""

from __future__ import annotations

import csv
import io
import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np

from .encoded import encode
from .sounds import bursts


# what other parsers have stumbled on: nested deeper than Python calls, numbers that are not, text that is none
STUMBLING = (
    *(b"[" * 10_000, b'{"a":' * 10_000, b"9" * 5000, b'{"a": 1e999, "b": NaN}', b"{a: *a}", b"{? {a: b} : c}"),
    *(b"[]", b"3", b"null", b'"a"', b"\xff\xfea\0", b"\0" * 100, b"\xef\xbb\xbf", b'a;\r\rb,"c', b""),
)


NAMES = (
    *("audio", "onnx_metadata", "ctranslate2", "ctranslate2_config", "weights_index", "consensus.csv"),
    *("consensus.txt", "consensus.json", "grades.csv", "grades.txt", "grades.json", "partitions.txt", "speakers.txt"),
    *("table.csv", "corpus_facts", "recipe", "recipe_mapping", "run.json", "job.json"),
    *("owner.json", "frames.index"),
)


@dataclass(repr=False)
class Parser:
    """
    Args:
        parse: takes a file's content.
        errors: that it may raise for what it cannot read; any other is a fault of it.
        seeds: contents without fault, from which damaged ones are made.
    """

    parse: Callable[[bytes], object]
    errors: tuple[type[Exception], ...]
    seeds: list[bytes] = field(default_factory=list)


def is_refused(parser: Parser, content: bytes) -> bool:
    """Whether the parser refuses this as it promises; raises what else it raises."""
    try:
        parser.parse(content)
    except parser.errors:
        return True
    return False


def all_parsers(folder: Path) -> dict[str, Parser]:
    """
    Every parser by name.

    Args:
        folder: for files, of those that read a path; needs `training` among the modules' folders.
    """
    return {**_audio(), **_models(folder), **_corpora(folder), **_runs(folder)}


def _of_path(read: Callable[[Path], object], path: Path) -> Callable[[bytes], object]:
    def parse(content: bytes) -> object:
        path.write_bytes(content)
        return read(path)

    return parse


def _audio() -> dict[str, Parser]:
    from speech_affect.audio_file import AudioFile

    def parse(content: bytes) -> None:
        with AudioFile(content) as file:
            for number, _ in enumerate(file.blocks(4096)):
                if number > 100:  # a header may promise hours of nothing
                    return

    sound = bursts(np.random.default_rng(0), 800, 8000)
    subtypes = {"wav": "PCM_16", "flac": "PCM_16", "vorbis": "VORBIS", "mp3": "MPEG_LAYER_III"}
    return {"audio": Parser(parse, (ValueError,), [encode(sound, 8000, *kind) for kind in subtypes.items()])}


def _models(folder: Path) -> dict[str, Parser]:
    """What comes with a model that somebody else made."""
    from speech_affect.onnx.metadata import OnnxMetadata
    from speech_affect_training.encoders.encoder_sources import _shards
    from speech_affect_training.encoders.whisper_from_ctranslate2 import _generation_config, read_ctranslate2

    metadata = OnnxMetadata(
        *("affect", 16000, (1.0, 7.0), ("activation", "valence", "dominance"), ("anger",), None, True, 1600),
        *(None, 400, 160, 160, "float32", "0.1.0", "ab"),
    )
    names = [each.name for each in fields(OnnxMetadata)]

    def parse_metadata(content: bytes) -> OnnxMetadata:
        lines = content.decode(errors="replace").split("\n")
        return OnnxMetadata.from_strings(dict(zip(names, lines, strict=False)))

    (folder / "a.safetensors").touch()
    index = _of_path(lambda path: _shards(path.parent), folder / "model.safetensors.index.json")
    return {
        "onnx_metadata": Parser(parse_metadata, (ValueError,), ["\n".join(metadata.to_strings().values()).encode()]),
        "ctranslate2": Parser(_of_path(read_ctranslate2, folder / "model.bin"), (ValueError,), [_ctranslate2()]),
        "ctranslate2_config": Parser(
            _of_path(_generation_config, folder / "config.json"),
            (ValueError,),
            [b'{"suppress_ids": [1, 2, 50257], "suppress_ids_begin": [220]}'],
        ),
        "weights_index": Parser(
            index, (ValueError, FileNotFoundError), [b'{"metadata": {}, "weight_map": {"a.b": "a.safetensors"}}']
        ),
    }


def _ctranslate2() -> bytes:
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


CONSENSUS = ("FileName", "EmoClass", "EmoAct", "EmoVal", "EmoDom", "SpkrID", "Gender", "Split_Set")
GRADES = ("FileName", "Workers", "EmoClass_Major", "EmoClass_Second", "EmoAct", "EmoVal", "EmoDom")
LABELS_TXT = b"""MSP-PODCAST_0001_0008.wav; N; A:2.2; V:4.0; D:2.6;
WORKER00000001; Neutral; Concerned,Other-a; b; A:1.000000; V:4.000000; D:1.000000;
"""


def _table(*rows: tuple) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _corpora(folder: Path) -> dict[str, Parser]:
    """A corpus's own files; bad rows are left out, and must not stop the rest."""
    from speech_affect_training.corpora.corpus import BadRows, CorpusError
    from speech_affect_training.corpora.csv_rows import csv_rows
    from speech_affect_training.corpora.msp_labels import (
        Partition,
        read_consensus,
        read_grades,
        read_partitions,
        read_speakers,
    )
    from speech_affect_training.settings.corpus_facts import corpus_facts

    turn = "MSP-PODCAST_0001_0008.wav"
    partitions, speakers = [Partition(1, "Train", turn)], {turn: ("30", "Male")}
    label = (turn, "N", "2.2", "4.0", "2.6", "30", "Male", "Train")
    grade = (turn, "WORKER00000001", "Neutral", "Concerned,Amused", "1.0", "4.0", "1.0")
    objects = {
        "consensus.json": {turn: dict(zip(CONSENSUS[1:], label[1:], strict=True))},
        "grades.json": {turn: {"WORKER00000001": dict(zip(GRADES[2:], grade[2:], strict=True))}},
    }
    seeds = {
        "consensus.csv": _table(CONSENSUS, label),
        "consensus.txt": LABELS_TXT,
        "grades.csv": _table(GRADES, grade),
        "grades.txt": LABELS_TXT,
        **{name: json.dumps(content).encode() for name, content in objects.items()},
    }

    def consensus(path: Path) -> list:
        return list(read_consensus(path, partitions, speakers, BadRows("skip")))

    def labels(name: str) -> Parser:
        read = consensus if name.startswith("consensus") else lambda path: read_grades(path, BadRows("skip"))
        return Parser(_of_path(read, folder / name), (CorpusError,), [seeds[name]])

    partition_seed, speaker_seed = f"Train; {turn}\nTest1; other.wav;\n", f"Speaker_30; Male\n{turn}; 30\n"
    return {
        **{name: labels(name) for name in seeds},
        "partitions.txt": Parser(
            _of_path(lambda path: read_partitions(path, BadRows("skip")), folder / "partitions.txt"),
            (CorpusError,),
            [partition_seed.encode()],
        ),
        "speakers.txt": Parser(_of_path(read_speakers, folder / "speakers.txt"), (), [speaker_seed.encode()]),
        "table.csv": Parser(
            _of_path(lambda path: list(csv_rows(path)), folder / "table.csv"), (CorpusError,), [_table(label, label)]
        ),
        "corpus_facts": Parser(
            lambda content: corpus_facts(content.decode(errors="replace"), "table"),
            (ValueError,),
            [b"msp_podcast", b"{labels: ratings, license: mit, terms: ask, language: en}"],
        ),
    }


def _runs(folder: Path) -> dict[str, Parser]:
    """What a run is told, and what runs leave for later ones."""
    from speech_affect_training.files import read_json
    from speech_affect_training.frames.frame_shards import read_index
    from speech_affect_training.jobs.run_lock import OWNER, _owner
    from speech_affect_training.settings.recipe_file import read_mapping, read_recipe

    entries = b'{"ab":[0,2,3,1],"cd":[24,1,3,null]}'
    owner = b'{"process": 1, "machine": "a", "since": "2026-01-01 00:00:00"}'
    return {
        "recipe": Parser(
            _of_path(read_recipe, folder / "recipe.yaml"),
            (ValueError,),
            [b"systems:\n  mfb: {role: baseline, branches: [mfb]}\nseeds: [0, 1]\nlearning_rate: 1.0e-3\n"],
        ),
        "recipe_mapping": Parser(
            lambda content: read_mapping("head", content.decode(errors="replace")),
            (ValueError,),
            [b"{conv_channels: 8}"],
        ),
        "run.json": Parser(_of_path(read_json, folder / "run.json"), (), [b'{"fingerprint": "ab", "job": {}}']),
        "job.json": Parser(
            _of_path(lambda path: read_json(path).get("train"), folder / "job.json"), (), [b'{"train": {"n": 1}}']
        ),
        "owner.json": Parser(_of_path(lambda path: _owner(path.parent), folder / OWNER), (), [owner]),
        "frames.index": Parser(
            _of_path(read_index, folder / "frames.index"), (), [b"%08x %s\n" % (zlib.crc32(entries), entries)]
        ),
    }
