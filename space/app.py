"""A page that estimates activation, valence and dominance: `python space/app.py`, or a Space on the Hub."""

from __future__ import annotations

import os
import sys
from pathlib import Path


os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr
from estimator import Estimator
from page import EXAMPLES, STYLE, THEME, Page, build_empty_page, build_page
from settings import Settings


SPARE_THREADS = 16  # for live sessions, and to send others away
HERE = Path(__file__).resolve().parent


def load_models(settings: Settings) -> dict[str, Estimator]:
    """
    The models by folder or Hub id, the one that estimates first.

    Raises:
        OSError, ValueError: the first one cannot be loaded. A teacher that cannot be is left out, with a line.
    """
    revision = settings.revision or None
    estimators = {settings.model: Estimator(settings.model, revision)}
    if settings.teacher and settings.teacher != settings.model:
        try:
            estimators[settings.teacher] = Estimator(settings.teacher, revision)
        except (OSError, ValueError) as error:
            print(f"no comparison: {_first_line(error)}", file=sys.stderr)
    return estimators


def build_app(settings: Settings) -> gr.Blocks:
    """The page of the models, or the one that says how to get one."""
    if not settings.model:
        return build_empty_page("", None)
    try:
        return build_page(Page(settings, load_models(settings)))
    except (OSError, ValueError) as error:
        print(f"no model: {_first_line(error)}", file=sys.stderr)
        return build_empty_page(settings.model, None)


def launch(settings: Settings, **options) -> None:
    """Serve the page until it is interrupted."""
    build_app(settings).launch(
        server_port=settings.port,
        max_threads=settings.concurrency + settings.queue_size + SPARE_THREADS,
        max_file_size=int(settings.max_size_mb * 1e6),
        allowed_paths=[str(EXAMPLES)],
        footer_links=["api"],
        theme=THEME,
        css=STYLE,
        ssr_mode=False,
        share=False,
        **options,
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


if __name__ == "__main__":
    try:
        chosen = Settings.read(sys.argv[1:], os.environ, HERE.parent)
    except ValueError as error:
        sys.exit(str(error))
    launch(chosen)
