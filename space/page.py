"""The page: components, and what happens when they change."""

from __future__ import annotations

import logging
from pathlib import Path

import gradio as gr
from comparison import compare, comparison_html
from declined import Refusal
from download import as_json
from estimator import Estimator, trained_on
from gradio.utils import get_upload_folder
from live import hear
from live_view import live_html
from page_text import ABOUT, HEAD, no_model_text
from result_view import message_html, result_html
from settings import Settings
from turns import Turns
from upload import clock, read_recording
from uploads import Uploads


HERE = Path(__file__).resolve().parent
EXAMPLES = HERE / "examples"
UPLOAD_JS = (HERE / "upload.js").read_text(encoding="utf-8")
CURVE_JS = (HERE / "curve.js").read_text(encoding="utf-8")
STYLE = (HERE / "style.css").read_text(encoding="utf-8")
THEME = gr.themes.Base(
    primary_hue="sky", neutral_hue="slate", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
)
CLEAN_EVERY_S, KEPT_S = 600, 3600  # what is left behind, of visitors who vanished
LIVE_EVERY_S = 0.5
NO_ADDRESS = "Addresses are not fetched here: send the file itself."
FAILED = "Something went wrong on our side; the recording was not kept."
logger = logging.getLogger(__name__)


class Page:
    """
    What the page does, for one set of models.

    Args:
        settings: limits.
        estimators: by the folder or Hub id of each; the first one estimates.
    """

    def __init__(self, settings: Settings, estimators: dict[str, Estimator]):
        self.settings = settings
        self.estimators = estimators
        self.estimator = next(iter(estimators.values()))
        self.uploads = Uploads(settings.kept_s, get_upload_folder())
        self.turns = Turns(settings.concurrency, settings.queue_size, settings.timeout_s)

    def show(self, path: str | None, shown: str | None) -> tuple:
        """The result of a recording as HTML; its file, which is held until the next one; None to empty the input."""
        self.uploads.hold(path)
        self.uploads.release(shown)
        if not path:
            return "", None, gr.skip()
        try:
            with self.turns.turn():
                recording = self._recording(path)
                estimate = self.estimator.estimate(path, recording.duration_s, self.settings.timeout_s)
        except Exception as error:
            self.uploads.release(path)
            return message_html(said(error)), None, None
        html = result_html(estimate, recording, self.estimator.title, self.estimator.label_range)
        return html, path, gr.skip()

    def hear(self, chunk, session):
        """What a live session shows after a chunk of the microphone."""
        if chunk is None:
            return gr.skip(), session
        try:
            session = hear(session, chunk, self.estimator, self.settings.max_length_s)
        except Exception as error:
            return message_html(said(error)), session
        return live_html(session, self.estimator.label_range), session

    def compare(self, path: str | None) -> str:
        """All models on one recording, as HTML."""
        try:
            with self.uploads.held(path), self.turns.turn():
                recording = self._recording(path)
                rows = compare(self.estimators, path, recording.duration_s, self.settings.timeout_s)
        except Exception as error:
            return message_html(said(error))
        return f'<div class="scroll">{comparison_html(rows)}</div>'

    def predict(
        self, audio: str | None, window_s: float | None = None, hop_s: float | None = None, scale: str = "label"
    ) -> dict:
        """
        The estimate as JSON, for programs.

        Raises:
            gr.Error: one sentence for the user.
        """
        try:
            with self.uploads.held(audio), self.turns.turn():
                recording = self._recording(audio)
                estimate = self.estimator.estimate(
                    audio, recording.duration_s, self.settings.timeout_s, scale, window_s or None, hop_s or None
                )
        except Exception as error:
            raise gr.Error(said(error), print_exception=False) from None
        return as_json(estimate, self.estimator.title, self.estimator.label_range)

    def _recording(self, path: str | None):
        return read_recording(path, self.settings.max_size_mb, self.settings.max_length_s)


def said(error: Exception) -> str:
    """What of an error a user is told: our own words, never a path or another library's."""
    if isinstance(error, Refusal):
        return str(error)
    if isinstance(error, ValueError):
        text = str(error)
        if "/" not in text and len(text) < 300:
            return text[:1].upper() + text[1:]
        return "This recording cannot be estimated: give a wav, flac, ogg, opus or mp3 file of speech."
    logger.error("a request failed: %s", type(error).__name__)
    return FAILED


def build_page(page: Page) -> gr.Blocks:
    """The page of a model."""
    with gr.Blocks(
        title="What a voice sounds like", delete_cache=(CLEAN_EVERY_S, KEPT_S), analytics_enabled=False
    ) as app:
        gr.Markdown(HEAD)
        with gr.Tab("Estimate"):
            _estimate_tab(page)
        with gr.Tab("Live"):
            _live_tab(page)
        if len(page.estimators) > 1:
            with gr.Tab("Compare"):
                _compare_tab(page)
        with gr.Tab("About"):
            gr.Markdown(_about(page))
        _wire_endpoint(page.predict)
    return app.queue(default_concurrency_limit=None)  # the page has its own turns, and says when it is busy


def build_empty_page(name: str, reason: str | None) -> gr.Blocks:
    """The page where there is no model: it says how to get one; `/predict` refuses."""
    uploads = Uploads(0, get_upload_folder())

    def predict(audio: str | None, window_s: float | None = None, hop_s: float | None = None, scale: str = "label"):
        uploads.release(audio)
        raise gr.Error("No model is loaded here: see the page.", print_exception=False)

    with gr.Blocks(title="No model yet", analytics_enabled=False) as app:
        gr.Markdown(no_model_text(name, reason))
        _wire_endpoint(predict)
    return app.queue()


def _estimate_tab(page: Page) -> None:
    shown = gr.State(None, delete_callback=page.uploads.release)
    clip = _recording_input("clip")
    button = gr.Button("Estimate", variant="primary", elem_id="estimate")
    script = CURVE_JS + _upload_check(page, "clip")
    result = gr.HTML(elem_id="result", elem_classes="affect", js_on_load=script, render=False)
    _example_buttons(page, clip, result, shown)
    result.render()
    for event in (clip.upload, clip.stop_recording, clip.clear, button.click):
        event(page.show, [clip, shown], [result, shown, clip], api_visibility="private", show_progress="minimal")


def _recording_input(elem_id: str) -> gr.Audio:
    # a plain player: gradio's own waveform fails loudly on what is no audio, and decodes hours in the browser
    plain = gr.WaveformOptions(show_recording_waveform=False)
    recorder = gr.Audio(
        sources=["upload", "microphone"],
        type="filepath",
        label="Recording",
        elem_id=elem_id,
        buttons=[],
        waveform_options=plain,
    )
    return _files_only(recorder)


def _files_only(recorder: gr.Audio) -> gr.Audio:
    """gradio's component would fetch an address as well, from wherever the server reaches, of any size."""
    move = recorder.async_move_resource_to_block_cache

    async def move_file(path):
        if str(path).lower().startswith(("http:", "https:")):
            raise gr.Error(NO_ADDRESS, print_exception=False)
        return await move(path)

    recorder.async_move_resource_to_block_cache = move_file
    return recorder


def _upload_check(page: Page, elem_id: str) -> str:
    """Script that keeps files from being sent which would be refused for their size."""
    return UPLOAD_JS.replace("ELEMENT", f"#{elem_id}").replace("MOST_MB", f"{page.settings.max_size_mb:g}")


def _example_buttons(page: Page, clip: gr.Audio, result: gr.HTML, shown: gr.State) -> None:
    """Each puts its clip where an upload would be; gradio's own examples would be deleted with old uploads."""
    with gr.Row(elem_id="examples"):
        for path in sorted(EXAMPLES.glob("*.ogg")):
            button = gr.Button(f"Example: {path.stem.replace('_', ' ')}", size="sm")
            chosen = button.click(lambda path=path: str(path), None, clip, api_visibility="private")
            chosen.then(
                page.show, [clip, shown], [result, shown, clip], api_visibility="private", show_progress="minimal"
            )


def _live_tab(page: Page) -> None:
    session = gr.State(None)
    gr.Markdown("Start the microphone and speak: the numbers follow twice a second, from all that was heard so far.")
    microphone = gr.Audio(sources=["microphone"], type="numpy", streaming=True, label="Microphone", elem_id="live")
    view = gr.HTML(elem_id="live_result", elem_classes="affect", js_on_load=CURVE_JS)
    microphone.stream(
        page.hear,
        [microphone, session],
        [view, session],
        stream_every=LIVE_EVERY_S,
        time_limit=int(page.settings.max_length_s),
        show_progress="hidden",
        api_visibility="private",
    )
    microphone.start_recording(lambda: (None, ""), None, [session, view], api_visibility="private")


def _compare_tab(page: Page) -> None:
    names = " and ".join(estimator.title for estimator in page.estimators.values())
    gr.Markdown(f"One recording through {names}, side by side.")
    clip = _recording_input("compare_clip")
    button = gr.Button("Compare", variant="primary", elem_id="compare")
    check = _upload_check(page, "compare_clip")
    result = gr.HTML(elem_id="compare_result", elem_classes="affect", js_on_load=check)
    for event in (clip.upload, clip.stop_recording, button.click):
        event(page.compare, clip, result, api_visibility="private")


def _wire_endpoint(predict) -> None:
    """`/predict`: components that are never seen, for their names and types in the API."""
    with gr.Row(visible=False):
        audio = _files_only(gr.Audio(type="filepath", label="audio"))
        window_s, hop_s = gr.Number(None, label="window_s"), gr.Number(None, label="hop_s")
        scale = gr.Dropdown(["label", "unit", "signed"], value="label", label="scale")
        answer = gr.JSON(label="estimate")
        gr.Button().click(predict, [audio, window_s, hop_s, scale], answer, api_name="predict")


def _about(page: Page) -> str:
    low, high = page.estimator.label_range
    corpus = trained_on(next(iter(page.estimators)))
    return ABOUT.format(
        low=low,
        high=high,
        middle=(low + high) / 2,
        title=page.estimator.title,
        trained=f", trained on {corpus}" if corpus else "",
        size=page.settings.max_size_mb,
        length=clock(page.settings.max_length_s),
    )
