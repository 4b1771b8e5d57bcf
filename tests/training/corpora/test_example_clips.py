"""The Space's examples are small, and spoken by the demo's voices."""

import soundfile


def test_clips(tmp_path):
    from speech_affect_training.corpora.example_clips import CLIPS, make_examples

    paths = make_examples(tmp_path / "examples")
    assert [path.stem for path in paths] == list(CLIPS)
    assert sum(path.stat().st_size for path in paths) < 150_000
    durations = {}
    for path in paths:
        samples, rate = soundfile.read(path)
        assert rate == 16000 and 0.1 < abs(samples).max() < 1
        durations[path.stem] = len(samples) / rate
    assert durations["four_moods"] > 10 > durations["tired"]
    assert sorted(path.suffix for path in (tmp_path / "examples").iterdir()) == [".ogg"] * len(CLIPS)
