"""What the page says, and that nothing given by a user is markup."""

from types import SimpleNamespace

import numpy as np


WHOLE = {"activation": 2.5, "valence": 4.25, "dominance": 7.0, "speech_ratio": 0.5}
HOSTILE = "<img src=x onerror=alert(1)>\"'\n../../etc/passwd"


def recording(path="/x/y.wav"):
    from upload import Recording

    return Recording(path, 5.0, np.zeros(3))


def estimate(whole=WHOLE, windows=()):
    from estimator import Estimate

    return Estimate(whole, list(windows), 2.0 if windows else None, 0.5 if windows else None, 0.01)


def model(error=None, title="model"):
    """What the views read of an estimator."""
    from estimator import TypicalError

    rmse = {"activation": 0.5, "valence": 1.25, "dominance": 0.75}
    return SimpleNamespace(
        title=title, label_range=(1.0, 7.0), typical_error=TypicalError(rmse, 98) if error else None
    )


def test_numbers_with_every_digit_and_their_place():
    from result_view import numbers_html

    html = numbers_html({**WHOLE, "valence": 4.251234567}, None, (1.0, 7.0))
    assert 'data-name="valence"' in html and '<strong data-value="4.251234567">4.25</strong>' in html
    assert 'style="left:25.0%"' in html and 'style="left:100.0%"' in html
    assert "±" not in html


def test_what_the_model_states_comes_before_its_typical_error():
    from result_view import result_html

    stated = {**WHOLE, "uncertainty": {"activation": 0.5, "valence": 0.25, "dominance": 1.0}}
    html = result_html(estimate(stated), recording(), model(error=True))
    assert "± 0.25" in html and "one standard deviation, as the model states it" in html and "typical" not in html
    html = result_html(estimate(), recording(), model(error=True))
    assert "± 1.25" in html and "typical error, the root mean square over the 98 clips" in html
    assert 'class="spread"' in html
    html = result_html(estimate(), recording(), model())
    assert "± " not in html and "How uncertain the values are, this model does not state." in html
    assert 'class="spread"' not in html


def test_silence_has_no_values():
    from result_view import NO_SPEECH, NO_VALUE, result_html

    silent = {"activation": None, "valence": None, "dominance": None, "speech_ratio": 0.0}
    unstated = {"uncertainty": dict.fromkeys(("activation", "valence", "dominance"))}
    for told in (silent, silent | unstated):
        html = result_html(estimate(told), recording(), model(error=True))
        assert NO_SPEECH in html and f'<strong data-value="">{NO_VALUE}</strong>' in html
        assert 'class="spread"' not in html


def test_nothing_given_is_markup():
    from comparison import comparison_html
    from page_text import no_model_text
    from result_view import message_html, result_html

    window = {"start_s": 0.0, "end_s": 2.0, **WHOLE}
    html = result_html(estimate(windows=[window, window]), recording(), model(title=HOSTILE))
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
