"""What the page says in words."""

from __future__ import annotations

from html import escape


HEAD = """# What a voice sounds like

**Activation** (calm to excited), **valence** (negative to positive) and **dominance** (weak to strong), estimated from
speech alone: how a voice *sounds to listeners*, not what a person feels."""

ABOUT = """## What the numbers are

Values are on the label scale of the model, {low:g} to {high:g}, as graders of speech use it; the middle, {middle:g},
is neutral. Model: **{title}**{trained}. The method is that of Mitra et al., Interspeech 2022
([arXiv 2207.03334](https://arxiv.org/abs/2207.03334)).

## What they do not mean

- They are guesses at the mean rating that a few listeners would give. Listeners disagree, and so does the model;
  valence is the hardest of the three.
- They say nothing about what somebody thinks, means, or is like. Other languages, accents, ages, rooms and
  microphones than the model was trained on make them worse, without a sign of it.
- The share of speech is told by level alone: music and clatter count.

## Limits and consent

Do not use this to decide about people. The EU AI Act forbids emotion recognition at work and in education. Upload
your own voice, or speech whose speaker agreed.

A recording is decoded, estimated, and deleted when you replace it, clear it or leave the page; what a connection that
broke off leaves behind goes within some hour. Live sound is never written to disk. Nothing is logged or used for
training. At most {size:g} MB and {length} per recording.

## From a program

`gradio_client` calls the same model by name; see "Use via API" at the foot of the page."""

NO_MODEL = """# No model yet

This page estimates activation, valence and dominance from speech, but no model was found{where}.

Train one on the demo corpus in a few minutes, in a checkout of the project:

    pip install -e ".[train,space]"
    accelerate launch training/run.py
    python space/app.py

or name one: `python space/app.py --model FOLDER_OR_HUB_ID`, or the variable `MODEL_ID` of a Space."""


def no_model_text(name: str, reason: str | None) -> str:
    """
    The page without a model.

    Args:
        name: that was asked for; empty if none was.
        reason: why it did not load, in one line.
    """
    where = f" under the name {escape(name.rsplit('/', 2)[-1] if name.startswith('/') else name)!r}" if name else ""
    return NO_MODEL.format(where=where) + (f"\n\nWhat went wrong: {escape(reason)}" if reason else "")
