"""What visitors send lies apart, and goes when nobody needs it."""

import io
import os
import time

import pytest


def upload(folder, visitor="one"):
    path = folder / visitor / "upload.wav"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"RIFF")
    return path


def test_the_same_file_twice_is_two_files_and_its_name_is_ours():
    from session_files import UniqueUpload

    made = [UniqueUpload(io.BytesIO(), filename="../My voice.WAV") for _ in range(2)]
    assert made[0].sha.hexdigest() != made[1].sha.hexdigest()
    assert [one.filename for one in made] == ["upload.wav"] * 2
    for name in (None, "a.exe", "a.wav/../b", "noise"):
        assert UniqueUpload(io.BytesIO(), filename=name).filename == "upload"


def test_a_file_goes_when_another_takes_its_place_or_the_page_is_left(tmp_path):
    from session_files import SessionFiles

    files, paths = SessionFiles(), [upload(tmp_path, str(number)) for number in range(4)]
    files.hold("a", "clip", str(paths[0]))
    files.hold("a", "clip", str(paths[0]))  # estimated again
    files.hold("a", "compared", str(paths[1]))
    files.hold("b", "clip", str(paths[2]))
    assert all(path.exists() for path in paths)
    files.hold("a", "clip", str(paths[3]))
    assert [path.exists() for path in paths] == [False, True, True, True]
    assert not paths[0].parent.exists()
    files.release("a")
    assert [path.exists() for path in paths] == [False, False, True, False]
    files.hold("b", "clip", None)
    assert not paths[2].exists()
    files.release("nobody")


def test_only_uploads_are_removed(tmp_path):
    from session_files import remove

    example = tmp_path / "examples" / "calm.ogg"
    example.parent.mkdir()
    example.touch()
    for path in (None, str(example), str(tmp_path / "gone" / "upload.wav")):
        remove(path)
    assert example.exists()


def test_what_is_left_behind_is_swept(tmp_path):
    from session_files import SessionFiles, sweep

    old, new, part, foreign = (
        upload(tmp_path, "old"),
        upload(tmp_path, "new"),
        tmp_path / "tmpabcd",
        tmp_path / "other" / "kept.txt",
    )
    part.touch()
    foreign.parent.mkdir()
    foreign.touch()
    files = SessionFiles()
    files.hold("a", "clip", str(old))
    for path in (old, part, foreign):
        os.utime(path, (time.time() - 100, time.time() - 100))
    sweep(tmp_path, 50.0)
    assert [path.exists() for path in (old.parent, new, part, foreign)] == [False, True, False, True]
    files.forget_missing()
    assert files._held == {}
    sweep(tmp_path / "absent", 50.0)


def test_gradio_stores_what_it_gets_under_our_name(monkeypatch):
    from gradio import route_utils
    from session_files import UniqueUpload, keep_uploads_apart

    monkeypatch.setattr(route_utils, "GradioUploadFile", route_utils.GradioUploadFile)
    keep_uploads_apart()
    assert route_utils.GradioUploadFile is UniqueUpload


@pytest.mark.parametrize("address", ["http://localhost/a.wav", "HTTPS://example.org/a.wav"])
def test_addresses_are_not_fetched(address):
    import asyncio

    import gradio as gr
    from layout import NO_ADDRESS, _recorder

    with pytest.raises(gr.Error, match=NO_ADDRESS):
        asyncio.run(_recorder("clip").async_move_resource_to_block_cache(address))
