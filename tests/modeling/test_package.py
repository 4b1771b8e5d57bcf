"""The package has one name."""

import importlib.util

import pytest

import speech_affect


def test_under_another_name_it_would_be_a_second_copy():
    """In the repository's root, `import modeling` finds the folder."""
    spec = importlib.util.spec_from_file_location("modeling", speech_affect.__file__)
    with pytest.raises(ImportError, match="^import speech_affect, not modeling$"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
