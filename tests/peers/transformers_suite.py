"""Imports the common tests of transformers, where they were fetched, as the package `transformers_tests`.

Its source distribution leaves out what they import from other folders: the tests of `generate` and of exporters, and
settings for configurations. Empty classes, and settings of our own, stand in for those.
"""

import importlib
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from unittest import mock

import pytest
import transformers

from .fetch_transformers_tests import FOLDER, VERSION


# those of every configuration of transformers, each other than its default
COMMON_SETTINGS = {
    "return_dict": False,
    "output_hidden_states": True,
    "dtype": "float16",
    "chunk_size_feed_forward": 5,
    "architectures": ["AffectStudentModel"],
    "problem_type": "regression",
}


def import_suite(name: str) -> ModuleType:
    """A module of the fetched tests; where they are not there, the test file that asks for it is skipped."""
    if not (FOLDER / f"{name}.py").is_file():
        command = "python tests/peers/fetch_transformers_tests.py"
        reason = f"the common tests of transformers {VERSION} are not in {FOLDER}: {command}"
        pytest.skip(reason, allow_module_level=True)
    if "transformers_tests" not in sys.modules:
        _stand_in("", __path__=[str(FOLDER)])
        _stand_in(".exporters.test_export", ExportTesterMixin=type("ExportTesterMixin", (), {}))
        _stand_in(".generation.test_utils", GenerationTesterMixin=type("GenerationTesterMixin", (), {}))
        _stand_in(".utils.test_configuration_utils", config_common_kwargs=COMMON_SETTINGS)
    with (
        mock.patch("transformers.utils.direct_transformers_import", lambda *_: transformers),
        TemporaryDirectory() as models,
        mock.patch.dict("os.environ", {"TRANSFORMERS_TINY_MODEL_PATH": models}),
    ):
        # the pipeline tests read which models there are; each test says so itself (`CommonModelTests`)
        (Path(models) / "reports").mkdir()
        (Path(models) / "reports/tiny_model_summary.json").write_text("{}")
        return importlib.import_module(f"transformers_tests.{name}")


def _stand_in(name: str, **content) -> None:
    sys.modules[f"transformers_tests{name}"] = module = ModuleType(f"transformers_tests{name}")
    vars(module).update(content)
