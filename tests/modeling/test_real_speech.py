"""Batches of real human speech through both models."""

from pathlib import Path

import pytest
import torch

from speech_affect import AffectFeatureExtractor


CORPUS = Path(__file__).resolve().parents[2] / "../shared/corpora/emodb-msp"


@pytest.mark.skipif(not CORPUS.is_dir(), reason="no real speech at ../shared/corpora/emodb-msp")
@pytest.mark.parametrize("kind", ["student_f0", "fusion"])
@torch.no_grad()
def test_batches_of_real_clips_equal_single_ones(make_model, kind):
    model, extractor = make_model(kind), AffectFeatureExtractor()
    files = [str(path) for path in sorted((CORPUS / "Audios").glob("*.wav"))[::27]]  # of all speakers and lengths
    together = model(**extractor(files, return_tensors="pt")).logits
    for row, file in enumerate(files):
        alone = model(**extractor(file, return_tensors="pt")).logits[0]
        assert (together[row] - alone).abs().max() <= 1e-5
