"""Layout of the page: its components, and which events call which handlers."""

from contextlib import suppress
from html import escape
from pathlib import Path
from urllib.parse import unquote, urlsplit

import gradio as gr

from .handlers import Handlers
from .recording import KEPT_S, clock


SPACE = Path(__file__).resolve().parents[1]
EXAMPLES, WEB = SPACE / "examples", SPACE / "web"
STYLE = (WEB / "style.css").read_text(encoding="utf-8")
# darker than gradio's, so that white on a button and grey on white have a contrast of 4.5
THEME = gr.themes.Base(
    primary_hue="sky", neutral_hue="slate", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
).set(
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover_dark="*primary_800",
    body_text_color_subdued="*neutral_600",
)
LIVE_HTML = '<button type="button" class="record">Record</button><div id="live_result"></div>'
NO_ADDRESS = "Addresses are not fetched here: send the file itself, or upload it here and give the address of that."
UPLOADS = "/gradio_api/file="
QUIET = {"api_visibility": "private", "show_progress": "minimal"}


def build_page(handlers: Handlers) -> gr.Blocks:
    """Return the page of a model."""
    limits = handlers.settings
    # all computation shares one queue: first come, first served, so many at the same time
    queue = {"concurrency_id": "model", "concurrency_limit": limits.concurrency}
    with gr.Blocks(title="What a voice sounds like", analytics_enabled=False, delete_cache=(60, KEPT_S)) as app:
        gr.Markdown(_web("head.md"))
        with gr.Tab("Estimate"):
            _recorder_tab("clip", "Estimate", "result", handlers.estimate, queue)
        with gr.Tab("Live"):
            _live_tab(handlers)
        if len(handlers.estimators) > 1:
            with gr.Tab("Compare"):
                names = " and ".join(estimator.title for estimator in handlers.estimators)
                gr.Markdown(f"One recording through {names}, side by side.")
                _recorder_tab("compare_clip", "Compare", "compare_result", handlers.compare, queue)
        with gr.Tab("About"):
            gr.Markdown(_about(handlers))
        _add_endpoint(handlers.predict, queue)
        app.unload(handlers.leave)
    return app.queue(max_size=limits.queue_size, default_concurrency_limit=None)


def build_empty_page(name: str) -> gr.Blocks:
    """Return the page where no model was found (or, with an empty name, given): it explains how to get one."""

    def predict(audio: str | None, window_s: float | None = None, hop_s: float | None = None, scale: str = "label"):
        raise gr.Error("No model is loaded here: see the page.", print_exception=False)

    predict.__doc__ = Handlers.predict.__doc__
    where = f" under the name {escape(Path(name).name if name.startswith('/') else name)!r}" if name else ""
    with gr.Blocks(title="No model yet", analytics_enabled=False, delete_cache=(60, KEPT_S)) as app:
        gr.Markdown(_web("no_model.md").format(where=where))
        _add_endpoint(predict, {})
    return app.queue()


def _recorder_tab(clip_id: str, label: str, result_id: str, handler, queue: dict) -> None:
    """Add a recorder with its button and result; of several events in a row the last one decides."""
    clip = _files_only(
        gr.Audio(
            sources=["upload", "microphone"],
            type="filepath",
            label="Recording",
            elem_id=clip_id,
            buttons=[],
            # a plain player: gradio's waveform fails on what is no audio, and decodes hours in the browser
            waveform_options=gr.WaveformOptions(show_recording_waveform=False),
        )
    )
    button = gr.Button(label, variant="primary", elem_id=label.lower())
    with gr.Row(elem_id=f"{clip_id}_examples"):
        paths = sorted(EXAMPLES.glob("*.ogg"))
        names = [path.stem.replace("_", " ") for path in paths]
        examples = [gr.Button(f"Example: {name}", size="sm", min_width=120) for name in names]
    result = gr.HTML(elem_id=result_id, elem_classes="affect", js_on_load=_web("curve.js"))
    events = [clip.upload, clip.stop_recording, clip.clear, button.click]
    options = {**QUIET, **queue, "show_progress_on": result}
    gr.on(events, handler, clip, [result, clip], trigger_mode="always_last", **options)
    for example, path in zip(examples, paths, strict=True):
        chosen = example.click(lambda path=path: str(path), None, clip, api_visibility="private")
        chosen.then(handler, clip, [result, clip], **options)


def _live_tab(handlers: Handlers) -> None:
    gr.Markdown(
        "Record, allow the microphone, and speak: the page follows twice a second. The numbers are of all audio so "
        "far, the curve is of each second of the last minute."
    )

    def push_audio(piece):  # gradio sets attributes of a server function, which a method does not have
        return handlers.push_audio(piece)

    gr.HTML(
        html_template=LIVE_HTML,
        elem_id="live",
        elem_classes="affect",
        js_on_load=_web("curve.js") + _web("live.js"),
        server_functions=[push_audio],
    )


def _add_endpoint(predict, queue: dict) -> None:
    """Add `/predict` with components that are never seen, which give it names and types in the API."""
    with gr.Row(visible=False):
        audio = _files_only(gr.Audio(type="filepath", label="audio"))
        window_s, hop_s = gr.Number(None, label="window_s"), gr.Number(None, label="hop_s")
        scale = gr.Dropdown(["label", "unit", "signed"], value="label", label="scale")
        answer = gr.JSON(label="estimate")
        gr.Button().click(predict, [audio, window_s, hop_s, scale], answer, api_name="predict", **queue)


def _files_only(recorder: gr.Audio) -> gr.Audio:
    """Make a recorder refuse addresses, from which gradio would download files of any size, but those of uploads."""
    move = recorder.async_move_resource_to_block_cache

    async def move_file(path):
        if str(path).lower().startswith(("http:", "https:")):
            path = _uploaded_file(str(path), Path(recorder.GRADIO_CACHE))
        return await move(path)

    # on the instance: gradio writes a .pyi file beside every module that has a subclass
    recorder.async_move_resource_to_block_cache = move_file
    return recorder


def _uploaded_file(address: str, folder: Path) -> Path:
    """Return the file of an upload's address, of whatever host: nothing is fetched.

    Raises:
        gr.Error: It is not the address of a file in the folder of uploads.
    """
    path = Path(unquote(urlsplit(address).path.partition(UPLOADS)[2]))
    with suppress(OSError, ValueError):
        if path.resolve().is_relative_to(folder.resolve()) and path.is_file():
            return path
    raise gr.Error(NO_ADDRESS, print_exception=False)


def _about(handlers: Handlers) -> str:
    (low, high), corpus = handlers.estimator.label_range, handlers.estimator.corpus
    return _web("about.md").format(
        low=low,
        high=high,
        middle=(low + high) / 2,
        title=handlers.estimator.title,
        trained=f", trained on {corpus}" if corpus else "",
        size=handlers.settings.max_size_mb,
        length=clock(handlers.settings.max_length_s),
    )


def _web(name: str) -> str:
    return (WEB / name).read_text(encoding="utf-8")
