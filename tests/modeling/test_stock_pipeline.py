"""The stock audio-classification pipeline gives the three values on the label scale."""

import pytest
import torch
from transformers import pipeline

from speech_affect import AffectFeatureExtractor, AffectStudentConfig, AffectStudentModel


@pytest.mark.parametrize("batch_size", [1, 3])
def test_scores_are_the_outputs(tmp_path, clips, batch_size):
    model = AffectStudentModel(AffectStudentConfig()).eval()
    model.save_pretrained(tmp_path)
    AffectFeatureExtractor().save_pretrained(tmp_path)
    # newer versions of transformers take this for granted in regression
    classify = pipeline("audio-classification", model=str(tmp_path))
    results = classify([clip.numpy() for clip in clips], batch_size=batch_size, function_to_apply="none")
    for clip, result in zip(clips, results, strict=True):
        expected = model(clip[None]).logits[0].detach()
        scores = {entry["label"]: entry["score"] for entry in result}
        got = torch.tensor([scores[name] for name in ("activation", "valence", "dominance")])
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)
