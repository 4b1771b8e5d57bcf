"""What all corpora share: their columns, no speaker and no audio in two splits, and that a run checks this first."""

import csv
import shutil

import datasets
import pytest
import soundfile

from speech_affect_training.corpora.corpus import BadRows, Corpus, CorpusError, check_disjoint
from speech_affect_training.corpora.msp_podcast import load_msp_podcast, load_msp_podcast_corpus
from speech_affect_training.run import main


def test_speakers_in_two_splits_are_named(make_release):
    release = make_release("bare")
    rows = release.rows()
    rows[3] = (*rows[3][:5], "7", *rows[3][6:])  # speaker 7 is in train
    rows[4] = (*rows[4][:5], "Unknown", *rows[4][6:])  # Unknown is in train too, and does not count
    release.write_labels(rows)
    with pytest.raises(ValueError, match=r"1 speakers occur in more than one split: 7 in train and development\."):
        check_disjoint(load_msp_podcast_corpus(release.root))


def test_splits_to_test_on_may_share_speakers(make_corpus):
    splits = {
        name: [{"file": name, "speaker": speaker}]
        for name, speaker in zip(("train", "test1", "test2"), "122", strict=True)
    }
    check_disjoint(make_corpus(splits))
    splits["test2"][0]["speaker"] = "1"
    with pytest.raises(ValueError, match="1 in train and test2"):
        check_disjoint(make_corpus(splits))


def test_copies_in_two_splits_are_named(make_release):
    release = make_release("bare")
    audio = release.root / "AUDIOS"
    source, other = audio / "MSP-PODCAST_0002_0001.wav", audio / "MSP-PODCAST_0004_0001.wav"
    corpus = load_msp_podcast_corpus(release.root)
    shutil.copy(source, audio / "MSP-PODCAST_0002_0002.wav")  # within train: allowed
    check_disjoint(corpus)
    content = bytearray(source.read_bytes())
    content[-1] ^= 1
    other.write_bytes(content)  # of equal size, and equal in the middle
    check_disjoint(corpus)
    shutil.copy(source, other)
    match = (
        r"1 clips have the same audio in more than one split or corpus: train/MSP-PODCAST_0002_0001.wav = .*test2/MSP"
    )
    with pytest.raises(ValueError, match=match):
        check_disjoint(corpus)
    check_disjoint(corpus, audio=False)


def test_a_corpus_checks_itself(make_release):
    splits = load_msp_podcast(make_release("bare").root)
    with pytest.raises(CorpusError, match="split 'validation' of x: allowed are train, development"):
        Corpus("x", datasets.DatasetDict(validation=splits["train"]), (1, 7), "")
    with pytest.raises(CorpusError, match=r"split 'train' of x has the columns .* needed are"):
        Corpus("x", datasets.DatasetDict(train=splits["train"].remove_columns("gender")), (1, 7), "")
    for bad in ((7, 1), (1, float("nan")), (1,), "ab", None):
        with pytest.raises(CorpusError, match="label_range is"):
            Corpus("x", splits, bad, "")
    with pytest.raises(CorpusError, match="on_error is None"):
        BadRows(None)


@pytest.mark.parametrize(
    ("speakers", "same_audio", "message"),
    [
        ({2: 0}, {}, "1 speakers occur in more than one split: 0 in train and development"),
        ({4: 1}, {}, "1 speakers occur in more than one split: 1 in train and test1"),
        ({5: 3}, {}, "1 speakers occur in more than one split: 3 in development and test1"),
        (
            {},
            {4: 1},
            "1 clips have the same audio in more than one split or corpus: train/.*_0001.wav = test1/.*_0004.wav",
        ),
    ],
)
def test_a_run_checks_its_splits_before_anything_else(tiny_recipe, tmp_path, speakers, same_audio, message):
    """Six tones of six speakers, of which one takes the speaker or the audio of another."""
    folder = tmp_path / "corpus"
    (folder / "Audios").mkdir(parents=True)
    (folder / "Labels").mkdir()
    rows = [["FileName", "EmoClass", "EmoAct", "EmoVal", "EmoDom", "SpkrID", "Gender", "Split_Set"]]
    for index, split in enumerate(("Train", "Train", "Development", "Development", "Test1", "Test1")):
        name = f"MSP-PODCAST_0001_{index:04d}.wav"
        soundfile.write(folder / "Audios" / name, [0.01 + 0.01 * same_audio.get(index, index)] * 8000, 16000)
        rows.append([name, "N", 1 + index, 4, 4, speakers.get(index, index), "Male", split])
    with open(folder / "Labels" / "labels_consensus.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    places = {"data_dir": folder, "output_dir": tmp_path / "out", "cache_dir": tmp_path / "cache"}
    with pytest.raises(ValueError, match=message):
        main(["--recipe", str(tiny_recipe), *(str(word) for key in places for word in (f"--{key}", places[key]))])
    assert not (tmp_path / "out" / "jobs").exists() and not (tmp_path / "cache" / "frames").exists()
