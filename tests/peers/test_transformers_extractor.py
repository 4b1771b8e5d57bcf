"""Common tests of transformers over the extractor."""

from unittest import TestCase

import numpy as np

from speech_affect import AffectFeatureExtractor

from .not_applicable import leave_out
from .transformers_suite import import_suite


class ExtractorTester:
    """Clips of growing length, as the tests ask for them: from a tenth of a second, the shortest there may be."""

    feature_size = 1
    padding_value = 0.0
    batch_size = 7
    min_seq_length = 1600
    max_seq_length = 8000
    seq_length_diff = (max_seq_length - min_seq_length) // (batch_size - 1)

    def prepare_feat_extract_dict(self):
        return {"feature_size": self.feature_size, "padding_value": self.padding_value, "sampling_rate": 16000}

    def prepare_inputs_for_common(self, equal_length=False, numpify=False):
        lengths = range(self.min_seq_length, self.max_seq_length, self.seq_length_diff)
        generator = np.random.default_rng(0)
        clips = [
            0.1 * generator.standard_normal(self.max_seq_length if equal_length else length) for length in lengths
        ]
        return clips if numpify else [clip.tolist() for clip in clips]


class AffectFeatureExtractorTest(
    import_suite("test_sequence_feature_extraction_common").SequenceFeatureExtractionTestMixin, TestCase
):
    feature_extraction_class = AffectFeatureExtractor

    def setUp(self):
        self.feat_extract_tester = ExtractorTester()


leave_out(AffectFeatureExtractorTest)
