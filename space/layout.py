"""How the page is laid out: components, and which events call what."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
from page import Page
from page_text import ABOUT, HEAD, no_model_text
from session_files import remove
from upload import clock


HERE = Path(__file__).resolve().parent
EXAMPLES = HERE / "examples"
UPLOAD_JS, CURVE_JS, LIVE_JS = (
    (HERE / name).read_text(encoding="utf-8") for name in ("upload.js", "curve.js", "live.js")
)
STYLE = (HERE / "style.css").read_text(encoding="utf-8")
THEME = gr.themes.Base(
    primary_hue="sky", neutral_hue="slate", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
)
LIVE_HTML = '<button type="button" class="record">Record</button><div id="live_result"></div>'
NO_ADDRESS = "Addresses are not fetched here: send the file itself."
QUIET = {"api_visibility": "private", "show_progress": "minimal"}
# a plain player: gradio's own waveform fails loudly on what is no audio, and decodes hours in the browser
PLAIN_PLAYER = gr.WaveformOptions(show_recording_waveform=False)


def build_page(page: Page) -> gr.Blocks:
    """The page of a model."""
    with gr.Blocks(title="What a voice sounds like", analytics_enabled=False) as app:
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
        app.unload(page.leave)
    return app.queue(default_concurrency_limit=None)  # the page has its own turns, and says when it is busy


def build_empty_page(name: str, reason: str | None) -> gr.Blocks:
    """The page where there is no model: it says how to get one; `/predict` refuses."""

    def predict(audio: str | None, window_s: float | None = None, hop_s: float | None = None, scale: str = "label"):
        remove(audio)
        raise gr.Error("No model is loaded here: see the page.", print_exception=False)

    with gr.Blocks(title="No model yet", analytics_enabled=False) as app:
        gr.Markdown(no_model_text(name, reason))
        _wire_endpoint(predict)
    return app.queue()


def _estimate_tab(page: Page) -> None:
    clip = _recorder("clip")
    button = gr.Button("Estimate", variant="primary", elem_id="estimate")
    examples = _example_buttons()
    result = _result("result", "clip", page)
    _show_when(clip, button, page.show, result)
    for example, path in examples:
        chosen = example.click(lambda path=path: str(path), None, clip, api_visibility="private")
        chosen.then(page.show, clip, [result, clip], show_progress_on=result, **QUIET)


def _compare_tab(page: Page) -> None:
    names = " and ".join(estimator.title for estimator in page.estimators)
    gr.Markdown(f"One recording through {names}, side by side.")
    clip = _recorder("compare_clip")
    button = gr.Button("Compare", variant="primary", elem_id="compare")
    result = _result("compare_result", "compare_clip", page)
    _show_when(clip, button, page.compare, result)


def _live_tab(page: Page) -> None:
    gr.Markdown(
        "Record, allow the microphone, and speak: the page follows twice a second. The numbers are of all that was "
        "heard so far, the curve is of each second of the last minute."
    )

    def hear(piece):  # gradio marks what it is given, which a method cannot be
        return page.hear(piece)

    script = CURVE_JS + LIVE_JS
    gr.HTML(html_template=LIVE_HTML, elem_id="live", elem_classes="affect", js_on_load=script, server_functions=[hear])


def _show_when(clip: gr.Audio, button: gr.Button, function, result: gr.HTML) -> None:
    """Show what `function` says of a clip, whenever it changes; of several events in a row the last one decides."""
    events = [clip.upload, clip.stop_recording, clip.clear, button.click]
    options = {**QUIET, "show_progress_on": result, "trigger_mode": "always_last"}
    gr.on(events, function, clip, [result, clip], **options)


def _recorder(elem_id: str) -> gr.Audio:
    recorder = gr.Audio(
        sources=["upload", "microphone"],
        type="filepath",
        label="Recording",
        elem_id=elem_id,
        buttons=[],
        waveform_options=PLAIN_PLAYER,
    )
    return _files_only(recorder)


def _files_only(recorder: gr.Audio) -> gr.Audio:
    """gradio's component would fetch an address as well, from wherever the server reaches, of any size."""
    move = recorder.async_move_resource_to_block_cache

    async def move_file(path):
        if str(path).lower().startswith(("http:", "https:")):
            raise gr.Error(NO_ADDRESS, print_exception=False)
        moved = await move(path)
        recorder.temp_files.discard(moved)  # where it would be remembered for ever
        return moved

    # on the instance: gradio writes a .pyi file beside every module that has a subclass
    recorder.async_move_resource_to_block_cache = move_file
    return recorder


def _example_buttons() -> list[tuple[gr.Button, Path]]:
    """Each puts its clip where an upload would be."""
    with gr.Row(elem_id="examples"):
        return [
            (gr.Button(f"Example: {path.stem.replace('_', ' ')}", size="sm", min_width=120), path)
            for path in sorted(EXAMPLES.glob("*.ogg"))
        ]


def _result(elem_id: str, recorder: str, page: Page) -> gr.HTML:
    """What is said of a recording; its script keeps files from being sent which would be refused for their size."""
    check = UPLOAD_JS.replace("ELEMENT", f"#{recorder}").replace("MOST_MB", f"{page.settings.max_size_mb:g}")
    return gr.HTML(elem_id=elem_id, elem_classes="affect", js_on_load=CURVE_JS + check)


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
    corpus = page.estimator.corpus
    return ABOUT.format(
        low=low,
        high=high,
        middle=(low + high) / 2,
        title=page.estimator.title,
        trained=f", trained on {corpus}" if corpus else "",
        size=page.settings.max_size_mb,
        length=clock(page.settings.max_length_s),
    )
