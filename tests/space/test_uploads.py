"""Files are deleted soon after their last use, and not before."""

import os
import time


def upload(folder, name="hash/voice.wav"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"RIFF")
    return path


def gone(path, within_s=5.0):
    end = time.monotonic() + within_s
    while path.exists() and time.monotonic() < end:
        time.sleep(0.02)
    return not path.exists()


def test_deleted_after_the_last_use(tmp_path):
    from uploads import Uploads

    path, uploads = upload(tmp_path), Uploads(0.2, str(tmp_path))
    uploads.hold(str(path))
    with uploads.held(str(path)):
        pass
    time.sleep(0.5)
    assert path.exists()  # the first still needs it
    uploads.release(str(path))
    assert gone(path) and not path.parent.exists()


def test_sent_anew_it_is_kept_anew(tmp_path):
    from uploads import Uploads

    path, uploads = upload(tmp_path), Uploads(0.4, str(tmp_path))
    with uploads.held(str(path)):
        pass
    later = time.time() + 1.0
    os.utime(path, (later, later))
    time.sleep(0.7)
    assert path.exists()
    assert gone(path)


def test_nothing_outside_the_folder_is_deleted(tmp_path):
    from uploads import Uploads

    example = upload(tmp_path, "examples/a.wav")
    uploads = Uploads(0.0, str(tmp_path / "uploads"))
    (tmp_path / "uploads").mkdir()
    link = tmp_path / "uploads" / "link.wav"
    link.symlink_to(example)
    for path in (example, link):
        with uploads.held(str(path)):
            pass
    time.sleep(0.3)
    assert example.exists()


def test_nothing_and_what_is_gone_are_no_trouble(tmp_path):
    from uploads import Uploads

    uploads = Uploads(0.0, str(tmp_path))
    for path in (None, str(tmp_path / "never" / "was.wav")):
        with uploads.held(path):
            pass
    time.sleep(0.1)
