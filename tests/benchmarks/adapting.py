"""`python tests/benchmarks/adapting.py MODEL TABLE --corpora NAME ...`: what a few clips give on other speakers.

Half of a corpus's speakers are drawn, and of them some clips, to which MODEL is adapted; it is tested on all clips of
the other speakers. Labels are the mean ratings of the word of each clip's emotion.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from statistics import fmean, pstdev


HERE = Path(__file__).resolve().parent
sys.path[0] = str(HERE.parent)  # instead of this folder, whose module names are common words
RESULTS = HERE / "adapting.json"  # beside those of speed, which are of another form
COLUMNS = {"audio": "path", "corpus": "corpus", "speaker": "speaker", "gender": "gender", "emotion": "emotion"}
LABEL_RANGE = (1.0, 7.0)
BRANCH = ("source", "hidden_state", "num_mel_bins", "window_s", "hop_s", "normalization")


def main(argv: list[str]) -> dict:
    """Run the benchmark, print its table, and write and return its results."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[2], formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", help="folder of a job's model, or of a checkpoint, that never heard the corpora")
    parser.add_argument("--name", help="of the model in the results; by default that of its folder")
    parser.add_argument("table", help=f"CSV file with the columns {', '.join(COLUMNS.values())}")
    parser.add_argument("--corpora", nargs="+", required=True, help="names in the column corpus")
    parser.add_argument("--clips", type=int, default=50, help="drawn each time")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args(argv)

    import torch
    from transformers.utils import logging

    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    from speech_affect_training.jobs.provenance import describe_environment

    results = {
        "model": given.name or Path(given.model).name,
        "clips": given.clips,
        "packages": describe_environment(1)["packages"],
    }
    results["corpora"] = {name: run_corpus(given, name) for name in given.corpora}
    given.output.write_text(json.dumps(results, indent=2) + "\n")
    print(adapting_table(results))
    return results


def run_corpus(given: argparse.Namespace, name: str) -> dict:
    """Return mean CCC of each draw before and after, and which fit was chosen."""
    import numpy as np
    from transformers import AutoModel

    from speech_affect_training.adapting.adapt import rated_clips
    from speech_affect_training.adapting.choice import choose, groups_of
    from speech_affect_training.adapting.output_layer import OutputLayer, RatedClips
    from speech_affect_training.corpora.table import load_table_corpus
    from speech_affect_training.frames.frame_dataset import FrameDataset
    from speech_affect_training.jobs.prediction import predict
    from speech_affect_training.metrics.rated import rated_concordance

    columns = {f"{role}_column": column for role, column in COLUMNS.items()}
    corpus = load_table_corpus(given.table, **columns, ratings="emotion", label_range=LABEL_RANGE, split="train")
    own = corpus.splits["train"].filter(lambda corpus: corpus == name, input_columns="corpus")
    corpus = replace(corpus, splits=type(corpus.splits)({"train": own}))
    model = AutoModel.from_pretrained(given.model, with_front_end=False).eval()
    dimensions = list(model.config.id2label.values())
    table, audio, labels = rated_clips(corpus, dimensions)
    embeddings = predict(model, FrameDataset(table, caches_of(model.config, table, audio), model.config), 16).embedding
    embeddings = embeddings.astype(np.float64)
    layer, speakers, draws = OutputLayer.of(model), np.array(table.speakers), []
    for seed in range(given.draws):
        generator = np.random.default_rng(seed)
        names = sorted(set(table.speakers))
        known = np.isin(speakers, generator.permutation(names)[: len(names) // 2])
        drawn = np.sort(generator.choice(np.flatnonzero(known), given.clips, replace=False))
        groups, _ = groups_of([table.speakers[row] for row in drawn], [table.genders[row] for row in drawn], seed)
        clips = RatedClips(embeddings[drawn], labels[drawn], groups)
        choice = choose(layer, clips, list(range(len(dimensions))), 1000, seed)
        before, after = (
            rated_concordance(each.values(embeddings[~known]), labels[~known]) for each in (layer, choice.layer)
        )
        draws.append({"fit": choice.name, "before": before.round(4).tolist(), "after": after.round(4).tolist()})
        print(name, seed, choice.name, f"{before.mean():.3f} -> {after.mean():.3f}", flush=True)
    return {"speakers": len(names), "clips": len(table), "dimensions": dimensions, "draws": draws}


def caches_of(config, table, audio: list) -> dict:
    """Return the frames of all clips by branch: those that a run of training left, and what is missing."""
    from huggingface_hub.constants import HF_HOME

    from speech_affect_training.encoders.library import EncoderLibrary
    from speech_affect_training.frames.speech_frames import extract_frames

    settings = {
        name: {"id": encoder.backbone.name_or_path, "pad_to_window": encoder.pad_to_window}
        for name, encoder in config.encoders.items()
    }
    branches = [{name: getattr(branch, name) for name in BRANCH} for branch in config.branches]
    cache = Path(HF_HOME) / "speech_affect"
    library = EncoderLibrary(settings, branches, cache)
    return extract_frames(dict(zip(table.fingerprints, audio, strict=True)), branches, library, cache / "frames", 8)


def adapting_table(results: dict) -> str:
    """Return the results as a table of Markdown: mean CCC over draws and dimensions, and how it rises in each draw."""
    lines = ["| corpus, by word | before | after | rise | in each draw |", "|---|---|---|---|---|"]
    for name, of in results["corpora"].items():
        before, after = ([fmean(draw[key]) for draw in of["draws"]] for key in ("before", "after"))
        rises = [b - a for a, b in zip(before, after, strict=True)]
        figures = [f"{fmean(before):.2f}", f"{fmean(after):.2f} ± {pstdev(after):.2f}", f"{fmean(rises):+.2f}"]
        lines.append(f"| {name} | {' | '.join(figures)} | {min(rises):+.2f} to {max(rises):+.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main(sys.argv[1:])
