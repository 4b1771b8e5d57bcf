"""Batches of real human speech through both models."""

from pathlib import Path

import pytest
import soundfile
import torch

from speech_affect import (
    AffectFeatureExtractor,
    AffectFusionConfig,
    AffectFusionModel,
    AffectStudentConfig,
    AffectStudentModel,
)


CORPUS = Path(__file__).resolve().parents[2] / "../shared/corpora/emodb-msp"
pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="no real speech at ../shared/corpora/emodb-msp")


@pytest.fixture(scope="module")
def files() -> list[str]:
    """20 clips spread over speakers and lengths."""
    return [str(path) for path in sorted((CORPUS / "Audios").glob("*.wav"))[::27]]


@pytest.fixture(params=["student", "fusion"])
def model(request, tiny_backbone):
    if request.param == "student":
        return AffectStudentModel(AffectStudentConfig(branch={"source": "mfb_f0"})).eval()
    encoders = {name: {"backbone": tiny_backbone(name), "do_normalize": True} for name in ("hubert", "wav2vec2-group")}
    branches = [{"source": "mfb"}, {"source": "hubert"}, {"source": "wav2vec2-group"}]
    return AffectFusionModel(AffectFusionConfig(branches=branches, encoders=encoders)).eval()


@torch.no_grad()
def test_batches_of_real_clips_equal_single_ones(model, files):
    extractor = AffectFeatureExtractor()
    assert len({soundfile.info(file).frames for file in files}) > 5
    together = model(**extractor(files, return_tensors="pt")).logits
    for row, file in enumerate(files):
        alone = model(**extractor(file, return_tensors="pt")).logits[0]
        assert (together[row] - alone).abs().max() <= 1e-5
