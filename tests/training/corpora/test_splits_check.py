"""A run refuses splits that would make its results look better than they are, before it does anything else."""

import csv

import pytest
import soundfile

from speech_affect_training.run import main


@pytest.fixture
def run_on(tiny_recipe, tmp_path):
    """Runs the main job on six tones of six speakers; fields of a row and content of a file can be replaced."""

    def run(speakers: dict[int, int], same_audio: tuple[int, int] | None = None) -> None:
        folder = tmp_path / "corpus"
        (folder / "Audios").mkdir(parents=True)
        (folder / "Labels").mkdir()
        rows = []
        for index, split in enumerate(("Train", "Train", "Development", "Development", "Test1", "Test1")):
            name = f"MSP-PODCAST_0001_{index:04d}.wav"
            level = 1 + (same_audio[0] if same_audio and index == same_audio[1] else index)
            soundfile.write(folder / "Audios" / name, [0.01 * level] * 8000, 16000)
            rows.append([name, "N", 1 + index, 4, 4, speakers.get(index, index), "Male", split])
        with open(folder / "Labels" / "labels_consensus.csv", "w", newline="") as file:
            head = ["FileName", "EmoClass", "EmoAct", "EmoVal", "EmoDom", "SpkrID", "Gender", "Split_Set"]
            csv.writer(file).writerows([head, *rows])
        places = ["--data_dir", folder, "--output_dir", tmp_path / "out", "--cache_dir", tmp_path / "cache"]
        main(list(map(str, ["--recipe", tiny_recipe, *places])))

    return run


@pytest.mark.parametrize(
    "speakers, message",
    [
        ({2: 0}, "1 speakers occur in more than one split: 0 in train and development"),
        ({4: 1}, "1 speakers occur in more than one split: 1 in train and test1"),
        ({5: 3}, "1 speakers occur in more than one split: 3 in development and test1"),
    ],
)
def test_speakers_in_more_than_one_split(run_on, tmp_path, speakers, message):
    with pytest.raises(ValueError, match=message):
        run_on(speakers)
    assert not (tmp_path / "out" / "jobs").exists() and not (tmp_path / "cache" / "frames").exists()


def test_the_same_audio_in_more_than_one_split(run_on, tmp_path):
    message = "1 clips have the same audio in more than one split: train/MSP-PODCAST_0001_0001.wav = test1/MSP-PODCAST"
    with pytest.raises(ValueError, match=message):
        run_on({}, same_audio=(1, 4))
    assert not (tmp_path / "out" / "jobs").exists() and not (tmp_path / "cache" / "frames").exists()
