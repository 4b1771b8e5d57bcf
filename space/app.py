"""A page that estimates activation, valence and dominance: `python space/app.py`, or a Space on the Hub."""

import os
import sys
from pathlib import Path

from page.temporary_folder import use_own_temporary_folder


os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
if __name__ == "__main__":
    use_own_temporary_folder()  # gradio reads its name when it is imported

import gradio as gr
import torch
from page.estimator import Estimator
from page.handlers import Handlers
from page.layout import EXAMPLES, STYLE, THEME, build_empty_page, build_page
from page.limits import Settings


SPARE_THREADS = 16  # beside computation: uploads, downloads, the page itself


def load_models(settings: Settings) -> list[Estimator]:
    """Load the models, the one that estimates first; a teacher that cannot be loaded is left out, with a line."""
    revision = settings.revision or None
    estimators = [Estimator(settings.model, revision)]
    if settings.teacher and settings.teacher != settings.model:
        try:
            estimators.append(Estimator(settings.teacher, revision))
        except (OSError, ValueError) as error:
            print(f"no comparison: {error}", file=sys.stderr)
    return estimators


def build_app(settings: Settings) -> gr.Blocks:
    """Return the page of the models, or the one that explains how to get a model."""
    if settings.model:
        try:
            return build_page(Handlers(settings, load_models(settings)))
        except (OSError, ValueError) as error:
            print(f"no model: {error}", file=sys.stderr)
    return build_empty_page(settings.model)


def launch(settings: Settings) -> None:
    """Serve the page until it is interrupted."""
    torch.set_num_threads(max(1, torch.get_num_threads() // settings.concurrency))
    build_app(settings).launch(
        server_port=settings.port,
        max_threads=settings.concurrency + settings.live_sessions + SPARE_THREADS,
        max_file_size=int(settings.max_size_mb * 1e6),
        allowed_paths=[str(EXAMPLES)],
        footer_links=["api"],
        theme=THEME,
        css=STYLE,
        ssr_mode=False,
        share=False,
    )


if __name__ == "__main__":
    try:
        chosen = Settings.read(sys.argv[1:], os.environ, Path(__file__).resolve().parents[1])
    except ValueError as error:
        sys.exit(str(error))
    launch(chosen)
