"""What inputs of a command stand for: files, folders, patterns, lists and tables."""

from pathlib import Path

import pytest

from speech_affect.cli.recordings import Recording, find_recordings


@pytest.fixture
def speech(tmp_path, monkeypatch) -> Path:
    """A folder with audio at several depths, which is the working directory."""
    for name in ("b.wav", "a.MP3", "deep/c.flac", "deep/.hidden.wav", ".cache/d.wav", "notes.txt", "deep/e.doc"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def paths(*inputs: str) -> list[str]:
    return [recording.path for recording in find_recordings(inputs)]


def test_files_folders_and_patterns_each_recording_once(speech):
    assert paths(".") == ["a.MP3", "b.wav", "deep/c.flac"]
    assert paths("deep", "b.wav", "deep/../b.wav") == ["deep/c.flac", "b.wav", "deep/../b.wav"]
    assert paths("*.wav", "**/*.flac", "b.wav") == ["b.wav", "deep/c.flac"]
    assert paths("-") == ["-"]


def test_a_list_has_a_path_per_line_beside_it(speech):
    (speech / "deep" / "list.txt").write_text("c.flac\n\n../b.wav\n/elsewhere/x.wav\n")
    assert paths("deep/list.txt") == ["deep/c.flac", "b.wav", "/elsewhere/x.wav"]


def test_a_table_has_segments_in_seconds_or_times(speech):
    rows = ["file,start,end,note", "b.wav,0.5,2,x", "a.MP3,0 days 00:00:01.500000,0 days 00:01:00,y"]
    (speech / "turns.csv").write_text("\n".join([*rows, "b.wav,,NaT,z", "b.wav,0.5,2,again"]) + "\n")
    (speech / "files.tsv").write_text("speaker\tfile\n1\tdeep/c.flac\n")
    assert find_recordings(["turns.csv"]) == [
        Recording("b.wav", [(0.5, 2.0), (0.0, None)]),
        Recording("a.MP3", [(1.5, 60.0)]),
    ]
    assert find_recordings(["files.tsv"]) == [Recording("deep/c.flac")]


def test_segments_of_every_recording(speech):
    (speech / "cut.tsv").write_text("end\tstart\n2\t0.5\n\t1\n")
    cut = [(0.5, 2.0), (1.0, None)]
    found = find_recordings(["b.wav", "a.MP3"], speech / "cut.tsv")
    assert found == [Recording("b.wav", cut), Recording("a.MP3", cut)]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("file,start,end\n", "has the columns file, start, end; the segments of a recording need start and end"),
        ("start\n", "has the columns start; the segments of a recording need start and end"),
        ("start,end\n", "has no segments"),
        ("start,end\n1,2\n2,1\n", "cut.csv, line 3: the segment is from 2 to 1 s; give 0 <= start <= end"),
        ("start,end\n-1,\n", "cut.csv, line 2: the segment begins at -1 s; give 0 or more"),
        ("start,end\n1,2\n", "turns.csv has segments already; leave out those of "),
    ],
)
def test_segments_that_are_refused(speech, columns, message):
    (speech / "turns.csv").write_text("file,start,end\nb.wav,1,2\n")
    (speech / "cut.csv").write_text(columns)
    with pytest.raises(ValueError, match=message):
        find_recordings(["turns.csv"], speech / "cut.csv")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["nowhere.wav"], "there is no file or folder 'nowhere.wav'"),
        (["*.opus"], "no file fits the pattern '*.opus'"),
        (["empty"], "the folder empty has no audio; known are .aif"),
        (["no_file.csv"], "no_file.csv has the columns path, start; it needs file, or file, start, end"),
        (["half.csv"], "half.csv has the columns file, start; it needs file, or file, start, end"),
        (["words.csv"], "words.csv, line 2: end is 'later'; give seconds, or a time such as 0 days 00:00:01.5"),
        (["nameless.csv"], "nameless.csv, line 2: there is no file"),
        (["header.csv", "blank.txt"], "header.csv, blank.txt names no recording"),
        (["b.wav", "segments.csv"], "b.wav is given as a whole and with segments; give it in one way"),
    ],
)
def test_what_is_refused(speech, given, message):
    (speech / "empty").mkdir()
    tables = {"no_file": "path,start\n", "half": "file,start\n", "words": "file,start,end\nb.wav,1,later\n"}
    tables |= {"nameless": "file,start,end\n,1,2\n", "segments": "file,start,end\nb.wav,1,2\n"}
    tables |= {"header": "file\n"}
    (speech / "blank.txt").write_text("\n")
    for name, text in tables.items():
        (speech / f"{name}.csv").write_text(text)
    with pytest.raises(ValueError) as error:
        find_recordings(given)
    assert str(error.value).startswith(message)
