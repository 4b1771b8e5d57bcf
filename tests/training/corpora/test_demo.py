"""The demo corpus: its layout, labels and audio, and that it is made once, whole, and the same every time."""

import csv
import importlib.util
import itertools
import json
import re
from collections import Counter
from unittest import mock

import numpy as np
import pytest
import soundfile

from speech_affect_training.corpora import demo
from speech_affect_training.corpora.demo import SPEAKERS, emotion_of, make_demo_corpus, plan_clips, shape_speech
from speech_affect_training.corpora.msp_labels import CONSENSUS_COLUMNS


PER_SPEAKER = 3
DETAIL = re.compile(r"(WORKER\d{8}); (\w+); \w+; A:(\d)\.0{6}; V:(\d)\.0{6}; D:(\d)\.0{6};")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_demo_corpus(tmp_path_factory.mktemp("cache"), utterances_per_speaker=PER_SPEAKER)


@pytest.fixture(scope="module")
def labels(corpus):
    return read_csv(corpus / "Labels/labels_consensus.csv")


def read_csv(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def mumbling(monkeypatch):
    """A second of noise in place of speech, for tests in which the words do not matter."""
    noise = np.random.default_rng(0).integers(-9000, 9000, 22050).astype(np.int16)
    monkeypatch.setattr(demo, "synthesize", lambda requests, seed: [noise] * len(requests))


def test_layout(corpus):
    names = [f"MSP-PODCAST_{s:04d}_{n:04d}" for s in range(1, 13) for n in range(1, PER_SPEAKER + 1)]
    expected = {f"Audios/{name}.wav" for name in names} | {f"Transcripts/{name}.txt" for name in names}
    expected |= {"Labels/labels_consensus.csv", "Labels/labels_detailed.csv", "demo_corpus.json"}
    expected |= {"Partitions.txt", "Speaker_ids.txt", "readme.txt"}
    assert set(contents(corpus)) == expected
    assert all(b"\r" not in data for name, data in contents(corpus).items() if not name.endswith(".wav"))
    assert "construction values plus seeded grader noise, not ratings" in (corpus / "readme.txt").read_text()


def test_splits_share_no_speaker_and_have_both_genders(labels):
    speakers = {split: set() for split in ("Train", "Development", "Test1")}
    for row in labels:
        speakers[row["Split_Set"]].add((row["SpkrID"], row["Gender"]))
    assert {split: len(found) for split, found in speakers.items()} == {"Train": 7, "Development": 2, "Test1": 3}
    assert len({number for found in speakers.values() for number, _ in found}) == 12
    assert all({gender for _, gender in found} == {"Female", "Male"} for found in speakers.values())
    assert len({speaker.voice for speaker in SPEAKERS}) == 12
    assert set(Counter(row["SpkrID"] for row in labels).values()) == {PER_SPEAKER}


def test_the_text_files_agree_with_the_labels(corpus, labels):
    partitions = (corpus / "Partitions.txt").read_text().splitlines()
    assert partitions == [f"{row['Split_Set']}; {row['FileName']}" for row in labels]
    speakers = set((corpus / "Speaker_ids.txt").read_text().splitlines())
    expected = {f"{row['FileName']}; {row['SpkrID']}" for row in labels}
    assert speakers == expected | {f"Speaker_{row['SpkrID']}; {row['Gender']}" for row in labels}


def test_consensus_is_the_mean_and_the_plurality_of_the_graders(corpus, labels):
    details = {}
    for row in read_csv(corpus / "Labels/labels_detailed.csv"):
        assert list(row) == ["FileName", "EmoDetail"]
        worker, emotion, *grades = DETAIL.fullmatch(row["EmoDetail"]).groups()
        details.setdefault(row["FileName"], []).append((worker, emotion, *map(int, grades)))
    assert list(details) == [row["FileName"] for row in labels]
    assert tuple(labels[0]) == CONSENSUS_COLUMNS
    for row in labels:
        workers, emotions, *grades = zip(*details[row["FileName"]], strict=True)
        assert 5 <= len(set(workers)) == len(workers) <= 8
        assert set(itertools.chain(*grades)) <= set(range(1, 8))
        for column, given in zip(("EmoAct", "EmoVal", "EmoDom"), grades, strict=True):
            assert float(row[column]) == pytest.approx(sum(given) / len(given), abs=5e-5)
        votes = Counter(emotions)
        winners = [emotion for emotion, count in votes.items() if count == max(votes.values())]
        assert row["EmoClass"] == (demo.EMOTION_WORDS[winners[0].casefold()] if len(winners) == 1 else "X")


def test_audio_is_16_khz_pcm_of_the_right_length_and_level(corpus, labels):
    for row in labels:
        path = corpus / "Audios" / row["FileName"]
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.format, info.subtype) == (16000, 1, "WAV", "PCM_16")
        assert 1.5 <= info.duration <= 4.5
        speech, _ = soundfile.read(path)
        assert -39 < 20 * np.log10(np.sqrt(np.mean(speech**2))) < -21
        assert np.abs(speech).max() < 0.981


def test_valence_is_in_the_words_only():
    clip = plan_clips(1, 0)[0]
    request = demo.speech_request(clip)
    assert demo.speech_request(clip._replace(valence=-clip.valence)) == request
    livelier = demo.speech_request(clip._replace(activation=1.0, dominance=-1.0))
    assert (livelier.rate_wpm, livelier.pitch, livelier.pitch_range) == (235, 90, 80)


def test_every_speaker_uses_every_adjective_and_its_rating_is_the_valence():
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    lexicon = SentimentIntensityAnalyzer().lexicon
    sign_of = {word: sign for sign, words in demo.WORDS.items() for word in words}
    strongest = max(abs(lexicon[word]) for word in demo.WORDS[-1] + demo.WORDS[1])
    uses = {speaker_id: Counter() for speaker_id in range(1, 13)}
    for clip in plan_clips(30, 0):
        adjectives = [word for word in re.findall(r"\w+", clip.text) if word in sign_of]
        assert len(set(adjectives)) == len(adjectives) in (2, 3)
        assert clip.valence == pytest.approx(np.mean([lexicon.get(word, 0) for word in adjectives]) / strongest)
        assert {sign_of[word] for word in adjectives} == {np.sign(clip.valence)}
        uses[clip.speaker_id].update(adjectives)
    assert all(not word.startswith(tuple("aeiou")) for word in sign_of)
    for counts in uses.values():
        for words in demo.WORDS.values():
            assert 0 < max(counts[word] for word in words) <= min(counts[word] for word in words) + 1


def test_latents_of_every_speaker_fill_their_range_evenly_and_independently():
    clips = plan_clips(30, 4)
    for speaker_id in range(1, 13):
        own = [clip for clip in clips if clip.speaker_id == speaker_id]
        for name in ("activation", "dominance"):
            parts = np.floor((np.sort([getattr(clip, name) for clip in own]) + 1) / 2 * 30)
            assert parts.tolist() == list(range(30))
        assert Counter(np.sign([clip.valence for clip in own])) == {-1: 10, 0: 10, 1: 10}
    triples = np.array([(clip.activation, clip.valence, clip.dominance) for clip in clips])
    assert np.abs(np.corrcoef(triples.T) - np.eye(3)).max() < 0.2


def test_the_mean_grade_is_the_label_of_the_latent():
    rng = np.random.default_rng(0)
    grades = [grade for _ in range(400) for grade in demo._grades(rng, (0.5, 0.0, -0.5))]
    means = np.mean([grade[1:4] for grade in grades], axis=0)
    assert means == pytest.approx([5.5, 4.0, 2.5], abs=0.06)


def test_emotion_of_a_grade():
    grades = [(1, 5, 1), (6, 4, 1), (5, 4, 7), (4, 3, 4), (4, 3, 3), (3, 3, 5), (3, 3, 4)]
    emotions = ["Happy", "Surprise", "Neutral", "Angry", "Fear", "Contempt", "Sad"]
    assert [emotion_of(*grade) for grade in grades] == emotions


def test_speech_is_resampled_levelled_and_tilted():
    time_s = np.arange(441 * 50) / 22050
    tones = 8000 * (np.sin(2 * np.pi * 500 * time_s) + np.sin(2 * np.pi * 6000 * time_s))
    plain = shape_speech(tones.astype(np.int16), 0.0, 0.0)
    assert len(plain) == 16000
    expected = sum(np.sin(2 * np.pi * f * np.arange(16000) / 16000) for f in (500, 6000)) * 10 ** (-30 / 20)
    assert plain == pytest.approx(expected, abs=1e-4)
    active = np.abs(np.fft.rfft(shape_speech(tones.astype(np.int16), 1.0, -1.0)))  # one bin per hertz
    assert 20 * np.log10(active[6000] / active[500]) == pytest.approx(8 * (6000 / 8000 - 500 / 2500), abs=0.01)
    assert 10 * np.log10(2 * np.sum(active**2) / 16000**2) == pytest.approx(-30 + 2 - 6, abs=0.01)


def test_a_click_is_not_clipped():
    click = np.zeros(22050, np.int16)
    click[11025] = 20000
    assert np.abs(shape_speech(click, 0.0, 1.0)).max() == pytest.approx(0.98)


def test_seed_and_size_name_another_corpus(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "_write_audio", lambda folder, clips, seed: None)
    makes = [{"seed": 0}, {"seed": 1}, {"seed": 0, "utterances_per_speaker": 2}]
    first, second, third = (make_demo_corpus(tmp_path, **{"utterances_per_speaker": 1, **make}) for make in makes)
    monkeypatch.setattr(demo, "GENERATOR_VERSION", demo.GENERATOR_VERSION + 1)
    fourth = make_demo_corpus(tmp_path, utterances_per_speaker=1)
    assert len({first, second, third, fourth}) == 4
    assert contents(first)["Labels/labels_detailed.csv"] != contents(second)["Labels/labels_detailed.csv"]
    settings = json.loads((third / "demo_corpus.json").read_text())
    assert (settings["seed"], settings["utterances_per_speaker"], settings["speakers"]) == (0, 2, 12)


def test_a_made_corpus_is_reused(corpus, monkeypatch):
    before = contents(corpus)
    monkeypatch.setattr(demo, "synthesize", lambda *args, **kwargs: pytest.fail("made it again"))
    assert make_demo_corpus(corpus.parent, utterances_per_speaker=PER_SPEAKER) == corpus
    assert contents(corpus) == before


@pytest.mark.parametrize("stop", [OSError("disk full"), KeyboardInterrupt()])
@pytest.mark.usefixtures("mumbling")
def test_a_failure_midway_leaves_nothing(tmp_path, monkeypatch, stop):
    monkeypatch.setattr(soundfile, "write", mock.Mock(side_effect=[None] * 4 + [stop]))
    with pytest.raises(type(stop)):
        make_demo_corpus(tmp_path, utterances_per_speaker=1)
    assert soundfile.write.call_count == 5 and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["audio", "manifest"])
@pytest.mark.usefixtures("mumbling")
def test_a_damaged_corpus_is_made_again(tmp_path, damage):
    corpus = make_demo_corpus(tmp_path, utterances_per_speaker=1)
    before = contents(corpus)
    if damage == "audio":
        next((corpus / "Audios").iterdir()).unlink()
    else:
        (corpus / "demo_corpus.json").write_text("{")
    assert make_demo_corpus(tmp_path, utterances_per_speaker=1) == corpus
    assert contents(corpus) == before
    assert list(tmp_path.iterdir()) == [corpus]


@pytest.mark.usefixtures("mumbling")
def test_the_corpus_of_a_faster_process_is_kept(tmp_path, monkeypatch):
    write = demo._write_corpus

    def write_late(folder, settings):
        write(folder, settings)
        monkeypatch.setattr(demo, "_write_corpus", write)
        rival = make_demo_corpus(tmp_path, utterances_per_speaker=1)
        (rival / "kept").touch()

    monkeypatch.setattr(demo, "_write_corpus", write_late)
    corpus = make_demo_corpus(tmp_path, utterances_per_speaker=1)
    assert (corpus / "kept").exists() and list(tmp_path.iterdir()) == [corpus]


@pytest.mark.parametrize(("name", "values"), [("utterances_per_speaker", (0, 10_000)), ("seed", (-1, 2**31))])
def test_arguments_out_of_range(tmp_path, name, values):
    for value in values:
        with pytest.raises(ValueError, match=rf"{name}={value} is outside"):
            make_demo_corpus(tmp_path, **{name: value})


@pytest.mark.parametrize("package", ["espeakng-loader", "vaderSentiment"])
def test_a_missing_package_is_named(tmp_path, monkeypatch, package):
    find, module = importlib.util.find_spec, package.replace("-", "_")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == module else find(name))
    with pytest.raises(ImportError, match=rf'{package}.*pip install "speech-affect\[train\]"'):
        make_demo_corpus(tmp_path)
    assert list(tmp_path.iterdir()) == []
