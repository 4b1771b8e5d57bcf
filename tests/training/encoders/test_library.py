"""The encoders of a run have as many layers as its branches read."""

from speech_affect_training.encoders.library import EncoderLibrary


BRANCHES = [{"source": "mfb"}, {"source": "whisper", "hidden_state": 1}, {"source": "whisper", "hidden_state": "last"}]


def test_layers_that_no_branch_reads_are_left_out(tiny_encoder):
    lower = EncoderLibrary({"whisper": {"id": str(tiny_encoder)}}, BRANCHES[:2], None)
    assert lower.configs["whisper"].backbone.num_hidden_layers == 2
    assert len(lower.backbone("whisper").layers) == 2
    whole = EncoderLibrary({"whisper": {"id": str(tiny_encoder)}}, BRANCHES, None)
    assert whole.configs["whisper"].backbone.num_hidden_layers == 3


def test_an_encoder_that_no_branch_reads_is_not_fetched():
    assert not EncoderLibrary({"hubert": {"id": "not/there"}}, [{"source": "mfb"}], None).sources
