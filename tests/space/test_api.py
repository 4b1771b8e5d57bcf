"""`/predict` of a running page, as programs call it."""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import soundfile
from gradio_client import Client, handle_file
from gradio_client.utils import QueueError
from space_server import SPACE, voice


CLIENTS, REQUESTS = 50, 2


@pytest.fixture(scope="module")
def client(server):
    return Client(server[0], verbose=False)


def memory_mb(process) -> float:
    """Of the server, resident."""
    fields = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return int(next(line for line in fields if line.startswith("VmRSS")).split()[1]) / 1e3


def test_equal_to_the_pipeline(client, expected, clip):
    answer = client.predict(handle_file(str(clip)), api_name="/predict")
    names = {"model", "label_range", "typical_error", "word_labelled", "estimate", "window_s", "hop_s", "windows"}
    assert set(answer) == names
    assert (answer["model"], answer["label_range"]) == ("small_student", [1.0, 7.0])
    assert answer["estimate"] == expected(str(clip))
    assert answer["windows"] == expected(str(clip), window_s=2.0, hop_s=0.5, batch_size=8)
    unit = client.predict(handle_file(str(clip)), window_s=3, hop_s=1, scale="unit", api_name="/predict")
    assert unit["windows"] == expected(str(clip), window_s=3.0, hop_s=1.0, batch_size=8, scale="unit")


def test_an_upload_by_its_address(client, server, expected, clip):
    """As a language model gives it, from Gradio's own upload."""
    [path] = httpx.post(f"{server[0]}/gradio_api/upload", files={"files": (clip.name, clip.read_bytes())}).json()
    answer = client.predict(handle_file(f"{server[0]}/gradio_api/file={path}"), api_name="/predict")
    assert answer["estimate"] == expected(str(clip))


def error_of(client, path, **options) -> str:
    with pytest.raises(Exception) as caught:
        client.predict(handle_file(str(path)), **options, api_name="/predict")
    return str(caught.value)


def test_every_error_is_one_sentence(client, tmp_path, clip):
    (tmp_path / "text.wav").write_text("Dear diary, today I was renamed.")
    assert error_of(client, tmp_path / "text.wav") == (
        "This file cannot be read as audio: give a wav, flac, ogg, opus or mp3 file."
    )
    (tmp_path / "large.wav").write_bytes(bytes(3_000_000))
    assert "exceeds the maximum file size of 2000000 bytes" in error_of(client, tmp_path / "large.wav")
    assert error_of(client, clip, window_s=0.01).startswith("Window_s is 0.01")
    assert str(tmp_path) not in error_of(client, clip, window_s=-1)


@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>.wav", "a'\";.wav", "x" * 200 + ".wav", "..wav"])
def test_hostile_names_are_only_names(client, expected, clip, tmp_path, name):
    shutil.copy(clip, tmp_path / name)
    answer = client.predict(handle_file(str(tmp_path / name)), api_name="/predict")
    assert answer["estimate"] == expected(str(clip))


def test_a_path_of_the_server_is_not_read(server, clip):
    for path in ("/etc/passwd", str(clip), server[0] + "/theme.css", "https://example.org/a.wav"):
        body = {"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}, None, None, "label"]}
        request = urllib.request.Request(
            server[0] + "/gradio_api/call/predict", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as response:
            event = json.load(response)["event_id"]
        with urllib.request.urlopen(f"{server[0]}/gradio_api/call/predict/{event}") as response:
            answer = response.read().decode()
        assert answer.startswith("event: error") and "activation" not in answer and "root:" not in answer


@pytest.mark.skipif(not os.path.exists("/proc"), reason="memory is read from /proc")
def test_fifty_clients_at_once(server, expected, tmp_path):
    address, process, _ = server
    paths = [tmp_path / f"{number}.wav" for number in range(4)]
    for number, path in enumerate(paths):
        soundfile.write(path, voice(1.0 + 0.2 * number, seed=number), 16000)
    right = [expected(str(path)) for path in paths]

    def one(number: int) -> list[str]:
        client, outcomes = Client(address, verbose=False, httpx_kwargs={"timeout": 120}), []
        for request in range(REQUESTS):
            which = (number + request) % len(paths)
            try:
                answer = client.predict(handle_file(str(paths[which])), api_name="/predict")
            except QueueError:
                outcomes.append("busy")
            except Exception as error:
                outcomes.append(f"failed: {error}")
            else:
                outcomes.append("right" if answer["estimate"] == right[which] else f"wrong: {answer}")
        return outcomes

    with ThreadPoolExecutor(CLIENTS) as pool:
        one(0)
        before = memory_mb(process)
        outcomes = [outcome for outcomes in pool.map(one, range(CLIENTS)) for outcome in outcomes]
    assert len(outcomes) == CLIENTS * REQUESTS
    assert set(outcomes) <= {"right", "busy"}, set(outcomes)
    assert outcomes.count("right") >= CLIENTS // 2
    assert memory_mb(process) - before < 150


def test_the_block_of_its_readme(server, clip, tmp_path, expected):
    readme = (SPACE / "README.md").read_text(encoding="utf-8")
    [block] = re.findall(r"^```python\n(.*?)^```", readme, flags=re.MULTILINE | re.DOTALL)
    assert "http://127.0.0.1:7860" in block
    shutil.copy(clip, tmp_path / "speech.wav")
    done = subprocess.run(
        [sys.executable, "-c", block.replace("http://127.0.0.1:7860", server[0])],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) == expected(str(clip))["valence"]
