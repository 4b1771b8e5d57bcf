"""The package has one name, and its objects say what they are."""

import importlib.util

import numpy as np
import pytest

import speech_affect
from speech_affect import AffectStream, AffectStudentConfig, AffectStudentModel
from speech_affect.pitch import PitchTracker


def test_under_another_name_it_would_be_a_second_copy():
    """In the repository's root, `import modeling` finds the folder."""
    spec = importlib.util.spec_from_file_location("modeling", speech_affect.__file__)
    with pytest.raises(ImportError, match="^import speech_affect, not modeling$"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def test_what_an_update_and_a_tracker_say_of_themselves():
    stream = AffectStream(AffectStudentModel(AffectStudentConfig()).eval())
    assert repr(stream.push(np.zeros(8000, np.float32))) == "StreamUpdate(duration_s=0.500, points=[])"
    said = repr(PitchTracker(hop_s=0.02, min_f0_hz=70.0, max_f0_hz=390.0))
    assert said.startswith("PitchTracker(sampling_rate=16000, hop_s=0.02, window_s=0.025, min_f0_hz=70.0, max_f0_hz=")
