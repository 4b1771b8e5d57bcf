"""Sentences and lists of a model card, made from results.json."""

from speech_affect import DIMENSIONS

from ..jobs.provenance import shown_twice
from ..settings.corpus_facts import CorpusFacts
from ..settings.split_key import SplitKey
from .card_tables import (
    condition_table,
    condition_text,
    group_table,
    list_of,
    score_table,
    speaker_table,
    verdict_list,
)
from .tables import (
    BY_WORD,
    as_shown,
    comparison_table,
    coverage_table,
    heading,
    listener_ccc,
    split_name,
    spread_table,
)


POLES = {"activation": "calm to active", "valence": "negative to positive", "dominance": "weak to strong"}
# how the outputs of several teachers are averaged
COMBINED = {
    "equal": None,
    "language": "over those that were trained on the clip's language (over all where none was)",
    "development": "in proportion to each one's CCC on the development clips of the clip's corpus",
}
# assumed power of a busy core, with its share of memory and cooling; nothing here measures it
WATTS_PER_CORE = 10


def output_texts(outputs: list[str]) -> dict[str, str]:
    """Return a model's outputs in words: their names, and what their values mean."""
    return {
        "names": list_of(outputs),
        "meanings": list_of([f"**{name}** ({POLES[name]})" for name in outputs]),
        "count": ("one number", "two numbers", "three numbers")[len(outputs) - 1],
        "unrated": list_of([name for name in DIMENSIONS if name not in outputs]),
    }


def teachers_of(entry: dict) -> list[str]:
    """Return the names of the systems that a student was distilled from."""
    return [entry["teacher"]] if isinstance(entry["teacher"], str) else list(entry["teacher"] or [])


def role(entry: dict, by_name: dict[str, dict]) -> str:
    """Return what a system is among the others of its run."""
    size = f"{entry['parameters'] / 1e6:.2f} M parameters"
    if entry["teacher"]:
        teachers = [f"`{name}` ({by_name[name]['parameters'] / 1e6:.2f} M)" for name in teachers_of(entry)]
        return f"A **student**: {size} on low-level features, distilled from {' and '.join(teachers)}."
    if entry["role"] == "student":
        before = "pre-trained on an encoder's frames, then " if entry["checkpoint"]["pretraining"] else ""
        return f"A **student without a teacher**: {size} on low-level features, {before}trained on the labels alone."
    if entry["role"] == "baseline":
        return f"The **baseline** that the other systems are compared with: {size} on low-level features."
    if entry["role"] == "single":
        return f"A model on **one representation**, {entry['inputs'][0]}: {size}."
    students = [f"`{name}`" for name, other in by_name.items() if entry["name"] in teachers_of(other)]
    pupils = f" Teacher of {', '.join(students)}." if students else ""
    return f"A **fusion model**: {size} over {' + '.join(entry['inputs'])}.{pupils}"


def branch_text(branch: dict, encoders: dict[str, dict], trained: dict[str, dict]) -> str:
    """Return what one branch extracts from its input; `trained` says how encoders were trained that were."""
    if branch["source"] in encoders:
        how = _training_text(trained[branch["source"]]) if branch["source"] in trained else "kept frozen"
        return f"{_frames_text(branch, encoders)}{' over the transcript' if branch['text'] else ''}, {how}"
    frames = f"{branch['window_s'] * 1000:g} ms window, {branch['hop_s'] * 1000:g} ms hop"
    pitch = " with pitch, its delta and voicing" if branch["source"] == "mfb_f0" else ""
    less = ", each less its mean so far" if branch.get("normalization") else ""
    return f"{branch['num_mel_bins']} log mel-filterbank energies{less}{pitch} ({frames})"


def _training_text(training: dict) -> str:
    layers = "all layers" if training["layers"] == "all" else f"the last {training['layers']} layers"
    lora, rate = training["lora"], f"learning rate {training['learning_rate']:g}"
    if lora:
        return f"{layers} trained by LoRA (rank {lora['r']}, {rate}), merged into the weights"
    decay = f", times {training['layer_decay']:g} from layer to layer" if training["layer_decay"] < 1 else ""
    return f"{layers} trained ({rate}{decay})"


def _frames_text(branch: dict, encoders: dict[str, dict]) -> str:
    state = branch["hidden_state"]
    which = {"last": "the last hidden state", "weighted_sum": "a learnt weighted sum of all hidden states"}
    encoder = encoders[branch["source"]]
    return f"{which.get(state, f'hidden state {state}')} of `{encoder['id']}`{_origin_text(encoder)}"


def _origin_text(encoder: dict) -> str:
    """Return what an encoder learnt from that this run has made; nothing of another one."""
    origin = encoder.get("distilled_from")
    if not origin:
        return ""
    size = f"{origin['parameters'] / 1e6:.2f} M parameters"
    if not origin["steps"]:
        return f" ({size} in the manner of `{origin['id']}`, which it learnt nothing from)"
    states = list_of([str(state) for state in origin["hidden_states"]])
    return (
        f" ({size}, distilled from `{origin['id']}`: it learnt to predict its hidden states {states} on "
        f"{origin['hours']:.1f} h of unlabelled speech, {origin['steps']:,} updates)"
    )


def training_lines(entry: dict, encoders: dict[str, dict]) -> list[str]:
    """Return how a system was trained; `encoders` are those of the run."""
    checkpoint, settings = entry["checkpoint"], entry["checkpoint"]["training"]
    lines = [_loss(checkpoint["distillation"], len(teachers_of(entry)))]
    if languages := checkpoint.get("languages"):
        own = _clips(checkpoint["train"]["clips"], checkpoint["train"]["speakers"])
        lines.append(
            f"It learnt from the clips in {list_of(languages)} alone ({own}), and is tested on all languages."
        )
    if labels := checkpoint.get("labels"):
        learnt = "; ".join(f"{corpus} ({', '.join(names) or 'none'})" for corpus, names in labels.items())
        lines.append(f"Of these corpora it learnt these labels alone: {learnt}.")
    tasks = {
        "emotion classes": checkpoint["emotion_names"],
        "the speaker's gender": checkpoint["gender_names"],
        "the scatter of the grades": checkpoint["predict_uncertainty"],
    }
    if any(tasks.values()):
        lines.append(f"Also trained to predict: {', '.join(task for task, learnt in tasks.items() if learnt)}.")
    for task, auxiliary in checkpoint.get("auxiliary", {}).items():
        opposed = ", which got the opposite gradient" if auxiliary["reversed"] else ""
        lines.append(
            f"In training alone a classifier told the {task} of each clip from the embedding{opposed} (cross-entropy, "
            f"weight {auxiliary['weight']:g})."
        )
    if origin := checkpoint.get("init_from"):
        lines.append(f"Its weights start from those of `{origin}`.")
    if checkpoint["augmented"]:
        lines.append("Trained on augmented copies of the clips too: speed, timbre, level, rooms, noise, clips joined.")
    if checkpoint["unlabelled"]:
        lines.append("Trained on unlabelled speech too, with the teacher's predictions as labels.")
    if before := checkpoint["pretraining"]:
        lines.append(
            f"Before all that its TC-GRU learnt to predict {_frames_text(before, encoders)}, averaged over the time "
            f"of one output, from audio alone{', unlabelled speech too' if before['unlabelled'] else ''}: "
            f"{before['max_steps']} updates, learning rate {before['learning_rate']:g}."
        )
    if checkpoint["mask_time_prob"] or checkpoint["mask_feature_prob"]:
        frames, features = checkpoint["mask_time_prob"], checkpoint["mask_feature_prob"]
        lines.append(f"SpecAugment: {frames:.0%} of the frames and {features:.0%} of the features masked.")
    batch = settings["per_device_train_batch_size"] * settings["gradient_accumulation_steps"]
    lines.append(
        f"Learning rate {settings['learning_rate']:g}, weight decay {settings['weight_decay']:g}, {batch} clips per "
        f"batch and process; updates per seed: {', '.join(map(str, entry['steps']))}. Kept is the state with the best "
        "mean CCC on development."
    )
    return lines


def _loss(distillation: dict | None, teachers: int) -> str:
    if not distillation:
        return "Loss: 1 - CCC against the labels."
    at = f"(T = {distillation.get('temperature', 2):g})"
    parts = {
        "1 - CCC against the labels": distillation["label_weight"],
        "1 - CCC against the teacher's outputs": distillation["output_weight"],
        "1 - cosine between its embedding and the teacher's": distillation["embedding_weight"],
        f"KL divergence of its classes from the teacher's {at}": distillation.get("emotion_weight", 0),
    }
    loss = f"Loss: {', '.join(f'{what} (weight {weight:g})' for what, weight in parts.items() if weight)}."
    if distillation.get("fill") == "missing":
        loss += " Outputs and classes of the teacher count where a clip has no label of its own."
    weighed = COMBINED[distillation.get("teacher_weights", "equal")]
    return (
        f"{loss} Its {teachers} teachers are averaged, clip by clip, {weighed}." if weighed and teachers > 1 else loss
    )


def split_parts(entry: dict, corpus: dict) -> list[dict]:
    """Return for each split `{"title", "key", "listeners", "table"}`."""
    parts = []
    for split, scores in entry["splits"].items():
        key, listeners = SplitKey.parse(split), listener_ccc(split, corpus)
        own = None if key.pooled else entry["checkpoint"]["seed"]
        table = score_table(scores, entry["seeds"], own, as_shown(corpus, split), listeners)
        title = f"{split_name(split, corpus)}: {_size(scores)}"
        parts.append({"title": title, "key": key, "listeners": bool(listeners), "table": table})
    return parts


def further_parts(entry: dict, comparisons: list[dict], corpus: dict) -> list[dict]:
    """Return the results that not every system has, as `{"title", "text"}`."""
    parts = []
    for by_word in (False, True) if shown_twice(corpus) else (False,):

        def kept(by_split: dict[str, dict], by_word=by_word) -> dict[str, dict]:
            return {split: value for split, value in by_split.items() if SplitKey.parse(split).by_word is by_word}

        splits, shown = kept(entry["splits"]), as_shown(corpus, str(SplitKey("", by_word=by_word)))
        own = [row for row in comparisons if row["system"] == entry["name"] and row["split"] in splits]
        texts = {
            **{f"By {kind}": group_table(splits, kind, shown) for kind in ("corpus", "language", "gender")},
            "By speaker": speaker_table(splits, shown),
            "Against other systems": f"{comparison_table('split', own, shown)}\n\n{verdict_list(own)}"
            if own
            else None,
            "Under noise and in rooms": condition_table(splits, kept(entry["conditions"]), shown),
            "Predicted uncertainty": "\n\n".join(filter(None, _uncertainty_tables(splits, shown))),
        }
        view = f", {BY_WORD}" if by_word else ""
        parts += [{"title": f"{title}{view}", "text": text} for title, text in texts.items() if text]
    return parts


def _uncertainty_tables(splits: dict[str, dict], corpus: dict) -> list[str | None]:
    return [table("split", splits, corpus) for table in (coverage_table, spread_table)]


def limit_lines(entry: dict, corpus: dict, facts: CorpusFacts) -> list[str]:
    """Return what the results do not cover, and where they are weak."""
    train = entry["checkpoint"].get("train") or corpus["splits"]["train"]
    tested = "; ".join(f"`{split}` {_size(scores)}" for split, scores in entry["splits"].items())
    corpora = f"{len(corpus['corpora'])} corpora" if corpus.get("corpora") else "one corpus"
    spoken = f" (language: {', '.join(facts.languages)})" if facts.languages else ""
    lines = [
        f"Trained on {_clips(train['clips'], train['speakers'])}; tested on {tested}, all of {corpora}{spoken}. Its "
        "quality on other languages, ways of speaking, rooms, devices or ages is not known."
    ]
    for split, scores in entry["splits"].items():
        ccc = {d: scores["ccc"][d] for d in DIMENSIONS if scores["ccc"][d] is not None}
        if not ccc:
            continue
        weakest = min(ccc, key=ccc.get)
        at = f"{heading(weakest, as_shown(corpus, split))} (CCC {ccc[weakest]:.2f})"
        lines.append(f"On `{split}` it is weakest at {at}. {_gap(scores)}")
    return [*lines, *_noise(entry)]


def _gap(scores: dict) -> str:
    """Return the dimension on which the genders lie furthest apart."""
    groups = scores["by_gender"]
    if len(groups) < 2:
        return f"Only {next(iter(groups))} speakers were tested." if groups else "Genders were not compared."
    values = {d: [group["ccc"][d] for group in groups.values()] for d in DIMENSIONS}
    values = {dimension: ccc for dimension, ccc in values.items() if None not in ccc}
    if not values:
        return "Genders were not compared."
    widest = max(values, key=lambda d: max(values[d]) - min(values[d]))
    each = ", ".join(f"{name} {group['ccc'][widest]:.2f} ({group['n']:,} clips)" for name, group in groups.items())
    return f"Genders lie furthest apart at {widest}: {each}."


def _noise(entry: dict) -> list[str]:
    if not any(entry["conditions"].values()):
        return ["It was not tested under noise or in rooms."]
    lines = []
    for split, conditions in entry["conditions"].items():
        if entry["splits"][split]["ccc"]["mean"] is None:
            continue
        worst = min(conditions, key=lambda name: conditions[name]["ccc"]["mean"])
        clean, degraded = entry["splits"][split]["ccc"]["mean"], conditions[worst]["ccc"]["mean"]
        lines.append(
            f"Mean CCC on `{split}` is {clean:.2f} as recorded and {degraded:.2f} with {condition_text(worst)}."
        )
    return lines


def compute_facts(entry: dict, teachers: list[dict], environment: dict) -> dict:
    """Return the number of trainings, and an estimate of their energy with that of the teachers."""
    folds = sorted({key.folds for key in map(SplitKey.parse, entry["splits"]) if key.folds})
    side_by_side = environment["stage_workers"] > 1
    cores = 1 if side_by_side else environment["threads"] * environment["processes"]
    seconds = sum(system["training_seconds"] for system in (entry, *teachers))
    return {
        "folds": folds,
        "trainings": entry["trainings"],
        "left_out": entry["trainings"] // len(entry["seeds"]) - 1 - sum(folds),
        "cores_per_training": cores,
        "watts_per_core": WATTS_PER_CORE,
        "watt_hours": seconds * cores * WATTS_PER_CORE / 3600,
    }


def _size(scores: dict) -> str:
    return _clips(scores["n"], scores["speakers"])


def _clips(clips: int, speakers: int) -> str:
    by = f" by {speakers:,} {'speaker' if speakers == 1 else 'speakers'}" if speakers else ", speakers not known"
    return f"{clips:,} clips{by}"
