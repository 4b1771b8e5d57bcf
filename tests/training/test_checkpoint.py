"""A checkpoint that is not what was trained is found out."""

import numpy as np
import pytest
import soundfile
from checkpoint import verify_checkpoint
from prediction import Predictions, write_predictions

from speech_affect import AffectFeatureExtractor, AffectStudentConfig, AffectStudentModel


@pytest.mark.parametrize("error, refused", [(0.03, False), (0.09, True)])
def test_verification(tmp_path, error, refused):
    model = AffectStudentModel(AffectStudentConfig()).eval()
    model.save_pretrained(tmp_path / "system")
    extractor = AffectFeatureExtractor()
    extractor.save_pretrained(tmp_path / "system")
    clips = []
    for index in range(3):
        path = tmp_path / f"{index}.wav"
        soundfile.write(path, 0.1 * np.random.default_rng(index).standard_normal(8000), 16000)
        clips.append({"path": str(path), "bytes": None})
    logits = model(**extractor(clips, return_tensors="pt")).logits.detach().double().numpy()
    noted = Predictions(["0", "1", "2"], logits + error, np.zeros((3, 3)))
    write_predictions(tmp_path / "predictions_development.csv", noted)
    if refused:
        with pytest.raises(RuntimeError, match="differs by 0.090 from what was trained: do not use this checkpoint"):
            verify_checkpoint(tmp_path / "system", tmp_path, "development", clips)
    else:
        verify_checkpoint(tmp_path / "system", tmp_path, "development", clips)
