"""The front matter of a model card: what the Hub filters by and shows, including the licence of the weights."""

import re

from huggingface_hub import EvalResult, ModelCardData

from ..settings.corpus_facts import CorpusFacts
from ..settings.split_key import SplitKey
from .scores import KEYS
from .tables import BY_WORD, as_shown, heading


# licences that let weights be passed on under another one
PERMISSIVE = ("apache-2.0", "mit", "bsd", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "unlicense")
TAGS = ("speech-emotion-recognition", "speech", "emotion", "arousal")


def card_data(
    results: dict, entry: dict, facts: CorpusFacts, encoders: list[dict], repo_id: str | None = None
) -> ModelCardData:
    """Return the front matter of the system `entry`, whose encoders are those of [`encoders_of`]."""
    inside = [encoder["id"] for encoder in encoders if encoder["inside"] and "/" in encoder["id"]]
    return ModelCardData(
        **weights_licence(facts, encoders),
        language=entry["checkpoint"].get("languages") or facts.languages or None,
        library_name="transformers",
        pipeline_tag=_task(entry),
        tags=[*TAGS, *entry["checkpoint"]["outputs"], *(["knowledge-distillation"] if entry["teacher"] else [])],
        datasets=[facts.dataset] if facts.dataset else None,
        metrics=["ccc"],
        base_model=inside or None,
        # the nearest of the Hub's relations: a head was trained on an encoder that stays as it was
        base_model_relation="finetune" if inside else None,
        model_name=repo_id or entry["name"],
        eval_results=[
            _eval_result(results["corpus"], entry, facts, split, key)
            for split, scores in entry["splits"].items()
            for key in KEYS
            if scores["ccc"][key] is not None
        ],
    )


def _eval_result(corpus: dict, entry: dict, facts: CorpusFacts, split: str, key: str) -> EvalResult:
    """Return the mean CCC over seeds; its interval, spread and size are in the metric's `args`."""
    scores, seeds, split_key = entry["splits"][split], entry["seeds"], SplitKey.parse(split)
    how = [f"{split_key.folds}-fold, by speaker"] * bool(split_key.folds) + [BY_WORD] * split_key.by_word
    args = {
        "n": scores["rated"].get(key, scores["n"]),
        "ci95": [round(bound, 4) for bound in scores["ci95"][key]],
        "seeds": len(seeds),
    }
    if len(seeds) > 1:
        args["std_over_seeds"] = round(scores["ccc_std_over_seeds"][key], 4)
    if not split_key.pooled:
        args["these_weights"] = round(scores["ccc_per_seed"][key][seeds.index(entry["checkpoint"]["seed"])], 4)
    return EvalResult(
        task_type=_task(entry),
        task_name="Speech emotion regression",
        dataset_type=facts.dataset or slug(corpus["name"]),
        dataset_name=corpus["name"],
        dataset_split=split,
        metric_type="ccc",
        metric_name=f"CCC {heading(key, as_shown(corpus, split))}" + (f" ({', '.join(how)})" if how else ""),
        metric_value=round(scores["ccc"][key], 4),
        metric_args=args,
    )


def encoders_of(results: dict, entry: dict, teachers: list[dict]) -> list[dict]:
    """Return the encoders of a system, then those of its pre-training and of its teachers alone, and last those that
    one of them was distilled from.

    Returns:
        `{"id", "revision", "license", "inside", "reader"}` of each; `reader` is who reads one that is not inside.
    """
    pretraining = entry["checkpoint"]["pretraining"]
    branches = [(branch, True, "") for branch in entry["checkpoint"]["branches"]]
    branches += [(pretraining, False, "pre-training")] if pretraining else []
    branches += [(branch, False, "teacher") for teacher in teachers for branch in teacher["checkpoint"]["branches"]]
    found: dict[str, dict] = {}
    for branch, inside, reader in branches:
        if branch["source"] in results["encoders"]:
            encoder = results["encoders"][branch["source"]]
            found.setdefault(encoder["id"], {**encoder, "inside": inside, "reader": reader})
    for origin in [encoder["distilled_from"] for encoder in found.values() if "distilled_from" in encoder]:
        found.setdefault(origin["id"], {**origin, "inside": False, "reader": "distillation"})
    return list(found.values())


def weights_licence(facts: CorpusFacts, encoders: list[dict]) -> dict:
    """Return the licence of the weights: what the terms of the training data allow, unless an encoder allows less.

    Where the terms name no licence for weights it is `other`, under the name of the terms.
    """
    if not facts.weights_license:
        return {"license": "other", "license_name": slug(facts.license), "license_link": facts.license_link}
    restricting = [encoder for encoder in encoders if encoder["license"] not in PERMISSIVE]
    if restricting:
        return {"license": "other", "license_name": slug(restricting[0]["license"] or "unknown")}
    return {"license": facts.weights_license}


def slug(name: str) -> str:
    """Return a name as the Hub takes it: lower-case letters, digits, dots and dashes."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-")


def _task(entry: dict) -> str:
    text_only = all(branch["text"] for branch in entry["checkpoint"]["branches"])
    return "text-classification" if text_only else "audio-classification"
