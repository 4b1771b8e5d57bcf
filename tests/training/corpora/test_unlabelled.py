"""Unlabelled speech: found in folders, cut into pieces that cover it exactly."""

import numpy as np
import pytest
import soundfile

from speech_affect_training.corpora.corpus import CorpusError
from speech_affect_training.corpora.segments import Piece, file_fingerprint
from speech_affect_training.corpora.unlabelled import unlabelled_pieces
from speech_affect_training.files import clip_fingerprint


@pytest.fixture
def write(tmp_path):
    """Writes noise of so many samples below the folder `speech`."""

    def write(name: str, samples: int, sampling_rate: int = 16000, channels: int = 1, **options):
        path = tmp_path / "speech" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(samples).uniform(-0.5, 0.5, (samples, channels))
        soundfile.write(path, noise, sampling_rate, **options)
        return path

    return write


@pytest.mark.parametrize(
    "samples, sampling_rate, count",
    [(128000, 16000, 1), (128001, 16000, 2), (300007, 16000, 3), (100003, 8000, 2), (70001, 1000, 9)],
)
def test_pieces_cover_a_file_exactly(write, tmp_path, samples, sampling_rate, count):
    path = write("long.wav", samples, sampling_rate)
    pieces = unlabelled_pieces([tmp_path / "speech"])
    assert len(pieces) == count
    loaded = [piece.load() for piece in pieces]
    whole, _ = soundfile.read(path, dtype="float32")
    np.testing.assert_array_equal(np.concatenate([clip["array"] for clip in loaded]), whole)
    lengths = [len(clip["array"]) for clip in loaded]
    assert max(lengths) - min(lengths) <= 1 and max(lengths) <= 8 * sampling_rate
    assert {clip["sampling_rate"] for clip in loaded} == {sampling_rate}
    assert len({piece.fingerprint for piece in pieces}) == count


def test_a_short_file_is_known_as_a_clip_of_a_corpus_is(write, tmp_path):
    path = write("a.wav", 16000)
    identity = clip_fingerprint({"path": str(path)})
    assert unlabelled_pieces([tmp_path / "speech"]) == [Piece(str(path), identity, 0, 16000, 16000)]
    long = write("b.wav", 160000)
    identity = clip_fingerprint({"path": str(long)})
    _, *pieces = unlabelled_pieces([tmp_path / "speech"])
    assert [piece.fingerprint for piece in pieces] == [f"{identity}-0-80000", f"{identity}-80000-160000"]
    assert {file_fingerprint(piece.fingerprint) for piece in pieces} == {identity}


def test_folders_below_and_formats(write, tmp_path):
    names = ["a.WAV", "b/c.flac", "b/d.ogg", "e.mp3", "f.opus"]
    for name in names:
        options = {"f.opus": {"format": "OGG", "subtype": "OPUS"}, "a.WAV": {"channels": 2}}.get(name, {})
        write(name, 24000, **options)
    (tmp_path / "speech" / "notes.txt").write_text("no audio")
    (tmp_path / "speech" / "folder.wav").mkdir()
    found = unlabelled_pieces([tmp_path / "speech" / "b", tmp_path / "speech"])
    assert [piece.path.rsplit("speech/")[1] for piece in found] == ["b/c.flac", "b/d.ogg", *names]
    for piece in found:
        assert piece.load()["array"].shape == (piece.stop - piece.start,)


def test_what_lasts_under_half_a_second_is_left_out(write, tmp_path):
    write("a.wav", 7999)
    with pytest.raises(CorpusError, match="speech: all its 1 files are shorter than 0.5 s"):
        unlabelled_pieces([tmp_path / "speech"])
    write("b.wav", 8000)
    assert [piece.path[-5:] for piece in unlabelled_pieces([tmp_path / "speech"])] == ["b.wav"]


def test_links_that_lead_out_are_left_out(write, tmp_path):
    inside = write("a.wav", 16000)
    secret = tmp_path / "secret.wav"
    soundfile.write(secret, np.zeros(16000), 16000)
    inside.with_name("out.wav").symlink_to(secret)
    inside.with_name("within.wav").symlink_to(inside)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "c.wav").write_bytes(secret.read_bytes())
    inside.with_name("folder").symlink_to(tmp_path / "elsewhere")
    found = unlabelled_pieces([tmp_path / "speech"])
    assert [piece.path.rsplit("/")[-1] for piece in found] == ["a.wav", "within.wav"]
    inside.unlink()
    with pytest.raises(CorpusError, match="speech has no audio but links that lead out of it: give the folder"):
        unlabelled_pieces([tmp_path / "speech"])


def test_a_snapshot_of_the_hub(write, tmp_path, as_snapshot):
    write("b/a.wav", 16000)
    snapshot = as_snapshot(tmp_path / "speech")
    assert [piece.path for piece in unlabelled_pieces([snapshot])] == [str(snapshot / "b" / "a.wav")]
    with pytest.raises(CorpusError, match="speech is the Hub's cache of a repository; give the folder of a revision"):
        unlabelled_pieces([snapshot.parents[1]])


def test_folders_and_files_that_cannot_be_used(write, tmp_path):
    def fails(folder, message):
        with pytest.raises(CorpusError, match=message):
            unlabelled_pieces([folder])

    fails(tmp_path / "nowhere", "unlabelled_dir .*nowhere is no folder; give folders with .flac, .mp3")
    fails(tmp_path, "has no audio; known are .flac, .mp3, .ogg, .opus, .wav")
    (write("a.wav", 16000).parent / "b.wav").write_bytes(b"no audio")
    fails(tmp_path / "speech", "b.wav cannot be read as audio .*repair it or take it away")
