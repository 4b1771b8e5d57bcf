"""What the page shows, that nothing given by a user is markup, and that errors reveal nothing."""

import asyncio
import csv
import io
import json
from base64 import b64decode
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from app import build_app
from gradio.utils import get_function_description
from page.estimator import Estimate, TypicalError
from page.handlers import FAILED, Handlers, message_for
from page.layout import NO_ADDRESS, _files_only
from page.limits import Settings, UserError
from page.recording import Recording
from page.views import NO_VALUE, SILENCE, as_csv, as_json, comparison_html, message_html, result_html


WHOLE = {"activation": 2.5, "valence": 4.251234567, "dominance": 7.0, "speech_ratio": 0.5}
WINDOWS = [{"start_s": start, "end_s": start + 2.0, **WHOLE} for start in (0.0, 0.5)]
HOSTILE = "<img src=x onerror=alert(1)>\"'\n../../etc/passwd"


def estimate(whole=WHOLE, windows=()):
    return Estimate(whole, list(windows), 2.0 if windows else None, 0.5 if windows else None, 0.01)


def model(error=False, title="model", by_word=()):
    """What the views read of an estimator."""
    error = TypicalError({"activation": 0.5, "valence": 1.25, "dominance": 0.75}, 98) if error else None
    known = {"title": title, "label_range": (1.0, 7.0), "typical_error": error, "word_labelled": list(by_word)}
    return SimpleNamespace(**known, parameters=5, bytes=None)


def shown(whole=WHOLE, windows=(), **settings):
    return result_html(estimate(whole, windows), Recording("/x/y.wav", 5.0, np.zeros(3)), model(**settings))


def test_numbers_with_every_digit_and_their_place():
    html = shown()
    assert 'data-name="valence"' in html and '<strong data-value="4.251234567">4.25</strong>' in html
    assert 'style="left:25.0%"' in html and 'style="left:100.0%"' in html


def test_predicted_uncertainty_comes_before_the_typical_error():
    predicted = {**WHOLE, "uncertainty": {"activation": 0.5, "valence": 0.25, "dominance": 1.0}}
    html = shown(predicted, error=True)
    assert "± 0.25" in html and "one standard deviation, as the model predicts it" in html and "typical" not in html
    html = shown(error=True)
    assert "± 1.25" in html and "typical error, the root mean square over the 98 clips" in html
    assert 'class="spread"' in html
    html = shown()
    assert "± " not in html and "This model does not predict how uncertain the values are." in html
    assert 'class="spread"' not in html


def test_what_nobody_rated_is_said():
    assert "Nobody rated dominance for this model: its labels were those of the emotion" in shown(
        by_word=["dominance"]
    )
    assert "Nobody rated" not in shown()
    whole = {name: value for name, value in WHOLE.items() if name != "dominance"}
    assert "Nobody rated" not in shown(whole, by_word=["dominance"])
    estimator = model(error=True)
    del estimator.typical_error.rmse["valence"]  # of which the clips to develop on had no rating
    html = result_html(estimate(), Recording("/x/y.wav", 5.0, np.zeros(3)), estimator)
    assert "± 0.50" in html and "± 1.25" not in html and 'class="spread"' not in html


def test_a_model_of_two_dimensions_has_no_third():
    whole = {name: value for name, value in WHOLE.items() if name != "dominance"}
    windows = [{name: value for name, value in window.items() if name != "dominance"} for window in WINDOWS]
    html = shown(whole, windows)
    assert 'data-name="valence"' in html and "plane of valence and activation" in html and "4.25" in html
    assert 'data-name="dominance"' not in html and '<th scope="col">dominance' not in html
    table = comparison_html([estimate(), estimate(whole)], [model(), model()], 5.0)
    assert table.count("7.00") == 1 and table.count(f"<td>{NO_VALUE}</td>") == 3  # and two sizes on disk
    one = shown(
        {"valence": 2.0, "speech_ratio": 1.0}, [{"start_s": 0.0, "end_s": 2.0, "valence": 2.0, "speech_ratio": 1.0}]
    )
    assert "2.00" in one and "plane of valence" not in one and 'class="line activation"' not in one


def test_silence_has_no_values():
    none = dict.fromkeys(("activation", "valence", "dominance"))
    for whole in ({**none, "speech_ratio": 0.0}, {**none, "speech_ratio": 0.0, "uncertainty": none}):
        html = shown(whole, error=True)
        assert SILENCE in html and f'<strong data-value="">{NO_VALUE}</strong>' in html
        assert 'class="spread"' not in html


def test_downloads_have_every_digit():
    for result, rows in ((estimate(windows=WINDOWS), WINDOWS), (estimate(), [WHOLE])):
        lines = csv.DictReader(io.StringIO(as_csv(result)))
        assert [{name: float(value) for name, value in row.items()} for row in lines] == rows
    encoded = shown(windows=WINDOWS, error=True).split('href="data:application/json;base64,')[1].split('"')[0]
    answer = json.loads(b64decode(encoded))
    assert answer == as_json(estimate(windows=WINDOWS), model(error=True))
    assert answer["windows"] == WINDOWS and answer["typical_error"]["clips"] == 98


def test_nothing_given_is_markup():
    hostile = model(title=HOSTILE)
    empty = build_app(Settings(model=HOSTILE))
    texts = [block.value for block in empty.blocks.values() if isinstance(block, gr.Markdown)]
    for text in (
        shown(windows=WINDOWS, title=HOSTILE),
        message_html(HOSTILE),
        comparison_html([estimate()], [hostile], 5.0),
        *texts,
    ):
        assert "<img" not in text and 'onerror=alert(1)>"' not in text


def test_errors_reveal_no_path_and_nothing_of_ours(caplog):
    assert message_for(UserError("Too long.")) == "Too long."
    assert message_for(ValueError("window_s is 9; it must be less")) == "Window_s is 9; it must be less"
    assert message_for(ValueError("'/tmp/secret/a.wav' is no file")).startswith("This recording cannot be estimated")
    assert message_for(RuntimeError("/tmp/secret")) == FAILED
    assert "secret" not in caplog.text and "RuntimeError" in caplog.text


def test_a_page_without_a_model_explains_how_to_get_one(tmp_path):
    for name, words in (("", "no model was found."), (str(tmp_path / "none"), "no model was found under the name")):
        page = build_app(Settings(model=name))
        text = str([block.value for block in page.blocks.values() if hasattr(block, "value")])
        assert words in text and "accelerate launch training/run.py" in text and str(tmp_path) not in text
        [predict] = [function.fn for function in page.fns.values()]
        with pytest.raises(gr.Error, match="No model is loaded here: see the page"):
            predict(None)
        assert_described(predict)


def assert_described(predict):
    """For the tool that it is to language models (`mcp_server=True`)."""
    description, arguments, _ = get_function_description(predict)
    assert description.startswith("Estimate activation, valence and dominance of speech")
    assert list(arguments) == ["audio", "window_s", "hop_s", "scale"] and all(arguments.values())
    assert arguments["scale"].endswith("unit (0 to 1) or signed (-1 to 1).")


def test_programs_are_told_what_to_give(estimator):
    assert_described(Handlers(Settings(), [estimator]).predict)


@pytest.fixture
def move(tmp_path, monkeypatch):
    """What a recorder does with a path or an address, beside a folder of uploads with one recording."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    for name in ("uploads/abc/a talk.wav", "secret.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    recorder = _files_only(gr.Audio(type="filepath"))
    return lambda address: asyncio.run(recorder.async_move_resource_to_block_cache(address))


@pytest.mark.parametrize("host", ["http://127.0.0.1:7860", "https://someone-page.hf.space"])
def test_the_address_of_an_upload_is_that_file(move, tmp_path, host):
    path = tmp_path / "uploads" / "abc" / "a talk.wav"
    assert move(f"{host}/gradio_api/file={path.parent}/a%20talk.wav") == str(path) == move(str(path))


@pytest.mark.parametrize(
    "address",
    [
        "http://localhost/a.wav",
        "HTTPS://example.org/a.wav",
        "http://localhost/gradio_api/file={folder}/secret.wav",
        "http://localhost/gradio_api/file={folder}/uploads/../secret.wav",
        "http://localhost/gradio_api/file={folder}/uploads/%2e%2e/secret.wav",
        "http://localhost/gradio_api/file={folder}/uploads/abc",
        "http://localhost/gradio_api/file={folder}/uploads/none.wav",
        "http://localhost/gradio_api/file=%00",
        "http://localhost/?/gradio_api/file={folder}/uploads/abc/a talk.wav",
    ],
)
def test_other_addresses_are_not_fetched(move, tmp_path, address):
    with pytest.raises(gr.Error, match=NO_ADDRESS):
        move(address.format(folder=tmp_path))
