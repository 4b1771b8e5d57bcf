"""`speech-affect adapt`: a model on a few rated clips."""

import argparse
from pathlib import Path


EXAMPLES = """examples:
  speech-affect adapt student --data-dir ratings.csv --label-range 1 5 --speaker-column speaker --output mine
  speech-affect adapt owner/model --data-dir MSP-PODCAST --output mine
"""


def add_arguments(commands: argparse._SubParsersAction) -> None:
    """Add the command to those of `speech-affect`."""
    parser = commands.add_parser(
        "adapt",
        help="a model to a corpus of yours, by a few clips with ratings",
        description="Fit the output layer of a model to some rated clips, from 10 on, 50 to 500 for good. Their "
        "cross-validation, by speaker where speakers are given, decides between the model as it is, a scale and shift "
        "per dimension, and a fine-tuned output layer. The new model is on the scale of your ratings.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, extra="train")
    add = parser.add_argument
    add("model", metavar="MODEL", help="folder or Hub id of a model of this package, or student, which comes with it")
    add(
        "--data-dir",
        required=True,
        metavar="PATH",
        help="table of clips (.csv, .parquet) with the columns audio, activation, valence, dominance (one is enough), "
        "or a folder in MSP-Podcast layout",
    )
    add("--output", required=True, type=Path, metavar="FOLDER", help="of the new model")
    add("--label-range", nargs=2, type=float, metavar=("LOW", "HIGH"), help="lowest and highest rating of a table")
    add("--speaker-column", metavar="NAME", help="column of a table with the speakers")
    add("--corpus", choices=("table", "msp_podcast"), help="by default table for a file, msp_podcast for a folder")
    add("--corpus-options", default="", metavar="YAML", help="mapping: further options of the corpus, as of run.py")
    add(
        "--corpus-facts", default="", metavar="YAML", help="mapping for the card: labels, license, terms, as of run.py"
    )
    add("--batch-size", type=int, default=8, metavar="N", help="clips that go through the model at once")
    add("--bootstrap-samples", type=int, default=1000, metavar="N", help="resamples behind each interval")
    add("--seed", type=int, default=0, help="of resampling, and of folds where speakers are not given")


def run(given: argparse.Namespace) -> int:
    """Run the command; the exit status is 0.

    Raises:
        ValueError: An option is not allowed, the corpus cannot be read, or as [`adapting.adapt.adapt`].
    """
    from huggingface_hub.constants import HF_HOME
    from transformers.utils import logging

    from speech_affect import released

    from ..adapting.adapt import AdaptSettings, adapt
    from ..corpora.load import read_corpus
    from ..settings.corpus_facts import corpus_facts
    from ..settings.recipe_file import read_mapping

    for name, value in (("batch-size", given.batch_size), ("bootstrap-samples", given.bootstrap_samples)):
        if value < 1:
            raise ValueError(f"--{name} is {value}; give 1 or more")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    kind = given.corpus or ("table" if Path(given.data_dir).is_file() else "msp_podcast")
    options = read_mapping("--corpus-options", given.corpus_options or {})
    for name in ("label_range", "speaker_column"):
        if getattr(given, name) is not None:
            options[name] = getattr(given, name)
    if kind == "table" and "split_column" not in options and Path(given.data_dir).is_file():
        options.setdefault("split", "train")  # all clips are used; without it speakers would be needed
    by_word = options.get("ratings") == "emotion"
    settings = AdaptSettings(
        given.batch_size, given.bootstrap_samples, given.seed, corpus_facts(given.corpus_facts, kind, by_word)
    )
    corpus = read_corpus(kind, given.data_dir, options, Path(HF_HOME) / "speech_affect")
    model = given.model if "/" in given.model or Path(given.model).is_dir() else str(released(given.model))
    result = adapt(model, corpus, given.output, settings)
    print(summary(result))
    print(f"{given.output}: {result['fit']}, from {result['clips']} clips of {result['corpus']}")
    return 0


def summary(result: dict) -> str:
    """Return CCC before and after as lines of text; `result` is the content of `adapt.json`."""
    kind = "speakers" if result["folds"]["by_speaker"] else "clips; speakers are not given"
    lines = [f"CCC out of fold, {result['folds']['number']} groups of {kind} [95%]:"]
    for name, of in result["out_of_fold"]["ccc"].items():
        before, after = ("{estimate:6.3f} [{low:.3f}, {high:.3f}]".format(**of[key]) for key in ("before", "after"))
        own = set(result["adapted"]) if name == "mean" else {name}
        by_word = " (by word)" if own <= set(result["by_word"]) else ""
        lines.append(f"  {name:10} {before} -> {after}{by_word}")
    lines += [f"  {name:10} too few ratings: it stays as it was" for name in result["unchanged"]]
    return "\n".join(lines)
