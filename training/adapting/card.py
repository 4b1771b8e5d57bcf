"""The card of a model that was adapted."""

from pathlib import Path

import jinja2
from huggingface_hub import ModelCard, ModelCardData
from transformers.utils import cached_file

from ..reports.card_metadata import TAGS, slug
from ..settings.corpus_facts import CorpusFacts


TEMPLATE = Path(__file__).with_name("card_template.md")
LICENCE = ("license", "license_name", "license_link")


def adapted_card(result: dict, source: str, name: str, config, facts: CorpusFacts | None, note: str) -> ModelCard:
    """Return the card of an adapted model.

    Args:
        result: Content of `adapt.json`.
        source: Folder or Hub id of the model that it was.
        name: Of the new one.
        config: Its configuration.
        facts: About the corpus; None where they were not given.
        note: What its loader says of the corpus.
    """
    is_folder = Path(source).is_dir()
    data = ModelCardData(
        **_licence(source, facts),
        language=(facts and facts.languages) or None,
        library_name="transformers",
        pipeline_tag="audio-classification" if config.reads_audio else "text-classification",
        tags=[*TAGS, *result["adapted"]],
        datasets=[facts.dataset] if facts and facts.dataset else None,
        metrics=["ccc"],
        base_model=None if is_folder else source,
        base_model_relation=None if is_folder else "finetune",
    )
    template = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE.parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    ).get_template(TEMPLATE.name)
    content = template.render(
        card_data=data.to_yaml().strip(),
        licence=data,
        name=name,
        config=config,
        facts=facts,
        note=" ".join(note.split()),
        averaged_by_word=set(result["adapted"]) <= set(result["by_word"]),
        **result,
    )
    return ModelCard(content)


def _licence(source: str, facts: CorpusFacts | None) -> dict:
    """Return the licence of the model that it was, unless the corpus has another; `other` where none is known."""
    try:
        base = ModelCard.load(cached_file(source, "README.md")).data.to_dict()
    except (OSError, ValueError):
        base = {}
    given = {name: base[name] for name in LICENCE if base.get(name)} or {"license": "other", "license_name": "unknown"}
    if facts is None or facts.weights_license == given["license"]:
        return given
    return {"license": "other", "license_name": slug(facts.license), "license_link": facts.license_link}
