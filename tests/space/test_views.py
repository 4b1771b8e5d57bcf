"""What the page says, and that nothing given by a user is markup."""

import numpy as np


WHOLE = {"activation": 2.5, "valence": 4.25, "dominance": 7.0, "speech_ratio": 0.5}
HOSTILE = "<img src=x onerror=alert(1)>\"'\n../../etc/passwd"


def recording(path="/x/y.wav"):
    from upload import Recording

    return Recording(path, 5.0, np.zeros(3))


def estimate(whole=WHOLE, windows=()):
    from estimator import Estimate

    return Estimate(whole, list(windows), 2.0 if windows else None, 0.5 if windows else None, 0.01)


def test_numbers_with_every_digit_and_their_place():
    from result_view import numbers_html

    html = numbers_html({**WHOLE, "valence": 4.251234567}, (1.0, 7.0))
    assert 'data-name="valence"' in html and '<strong data-value="4.251234567">4.25</strong>' in html
    assert 'style="left:25.0%"' in html and 'style="left:100.0%"' in html
    assert html.count("no uncertainty stated") == 3


def test_uncertainty_is_the_models_own():
    from result_view import numbers_html

    stated = {**WHOLE, "uncertainty": {"activation": 0.5, "valence": 0.25, "dominance": 1.0}}
    html = numbers_html(stated, (1.0, 7.0))
    assert "± 0.25" in html and "no uncertainty stated" not in html


def test_silence_has_no_values():
    from result_view import NO_SPEECH, NO_VALUE, result_html

    silent = {"activation": None, "valence": None, "dominance": None, "speech_ratio": 0.0}
    html = result_html(estimate(silent), recording(), "model", (1.0, 7.0))
    assert NO_SPEECH in html and f'<strong data-value="">{NO_VALUE}</strong>' in html


def test_nothing_given_is_markup():
    from comparison import comparison_html
    from page_text import no_model_text
    from result_view import message_html, result_html

    window = {"start_s": 0.0, "end_s": 2.0, **WHOLE}
    html = result_html(estimate(windows=[window, window]), recording(), HOSTILE, (1.0, 7.0))
    row = {**WHOLE, "model": HOSTILE, "ms_per_audio_s": 1.0, "parameters": 5, "bytes": None}
    for text in (html, message_html(HOSTILE), comparison_html([row]), no_model_text(HOSTILE, HOSTILE)):
        assert "<img" not in text and 'onerror=alert(1)>"' not in text


def test_errors_tell_no_path_and_nothing_of_ours(caplog):
    from declined import Refusal
    from page import FAILED, said

    assert said(Refusal("Too long.")) == "Too long."
    assert said(ValueError("window_s is 9; it must be less")) == "Window_s is 9; it must be less"
    assert said(ValueError("'/tmp/secret/a.wav' is no file")).startswith("This recording cannot be estimated")
    assert said(RuntimeError("/tmp/secret")) == FAILED
    assert "secret" not in caplog.text and "RuntimeError" in caplog.text


def test_a_page_without_a_model_tells_how_to_get_one(tmp_path):
    from app import build_app
    from settings import Settings

    for model, words in (("", "no model was found."), (str(tmp_path / "none"), "no model was found under the name")):
        page = build_app(Settings(model=model))
        text = str([block.value for block in page.blocks.values() if hasattr(block, "value")])
        assert words in text and "accelerate launch training/run.py" in text and str(tmp_path) not in text
