"""Activation, valence and dominance from speech, as models of Hugging Face transformers."""

if __name__ != "speech_affect":  # a second copy of every class would break isinstance and the Auto classes
    raise ImportError(f"import speech_affect, not {__name__}")

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from ._registered import (
        DIMENSIONS,
        AffectBranchConfig,
        AffectEncoderConfig,
        AffectFeatureExtractor,
        AffectFusionConfig,
        AffectFusionModel,
        AffectOutput,
        AffectProcessor,
        AffectStream,
        AffectStudentConfig,
        AffectStudentModel,
        SpeechEmotionRegressionPipeline,
    )

__all__ = [
    "DIMENSIONS",
    "AffectBranchConfig",
    "AffectEncoderConfig",
    "AffectFeatureExtractor",
    "AffectFusionConfig",
    "AffectFusionModel",
    "AffectOutput",
    "AffectProcessor",
    "AffectStream",
    "AffectStudentConfig",
    "AffectStudentModel",
    "SpeechEmotionRegressionPipeline",
    "released",
]

if not TYPE_CHECKING:  # which would take any name

    def __getattr__(name):
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module("._registered", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def released(name: str) -> Path:
    """Return the folder of a trained model that comes with this package.

    Args:
        name: such as `"student"`.

    Returns:
        The folder, for `from_pretrained` and pipelines.

    Raises:
        ValueError: no model of this name comes with this installation.
    """
    here = Path(__file__).resolve().parent
    # a checkout keeps them beside the cards of other models; the wheel has them in the package
    folder = here.parent / "model_cards" if here.name == "modeling" else here / "checkpoints"
    names = sorted(weights.parent.name for weights in folder.glob("*/model.safetensors"))
    if name not in names:
        raise ValueError(
            f"there is no released model {name!r:.200}; those that are installed: {', '.join(names) or 'none'}"
        )
    return folder / name


def _is_program() -> bool:
    """Return whether Python runs the command of this package, which parses its arguments before it needs models."""
    program = sys.argv[0] if sys.argv else ""
    # python -m has no other name until the package is imported
    scripts = ("speech-affect", "speech-affect.exe", "speech-affect-script.py")
    return Path(program).name in scripts or (program == "-m" and __name__ in sys.orig_argv)


if not _is_program():
    import_module("._registered", __name__)
