"""`speech-affect adapt`: a model on a few rated clips."""

import argparse
from pathlib import Path


EXAMPLES = """examples:
  speech-affect adapt --data-dir clips.csv --corpus-options '{label_range: [1, 5], speaker_column: speaker}'
  speech-affect adapt owner/model --data-dir MSP-PODCAST --output outputs/mine
"""


def add_arguments(commands: argparse._SubParsersAction) -> None:
    """Add the command to those of `speech-affect`."""
    parser = commands.add_parser(
        "adapt",
        help="a model to a corpus of yours, by a few clips with ratings",
        description="Fit the output layer of a model to rated clips: 10 or more, better 50 to 500. Cross-validation, "
        "by speaker where speakers are known, chooses between a scale and shift per dimension, a fine-tuned output "
        "layer, and the model as it is. The new model is on the scale of your ratings.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, extra="train")
    add = parser.add_argument
    add(
        "model",
        nargs="?",
        metavar="MODEL",
        help="folder or Hub id, of this package, or student or student_nano (default: student)",
    )
    add("--data-dir", required=True, metavar="CORPUS", help="table (.csv, .parquet), or folder in MSP-Podcast layout")
    add(
        "--corpus-options",
        default="",
        metavar="MAPPING",
        help="of a table: label_range, speaker_column, other columns",
    )
    add("--corpus-facts", default="", metavar="MAPPING", help="for the card: labels, license and terms of the corpus")
    add("--output", type=Path, default=Path("outputs/adapted"), metavar="FOLDER", help="by default outputs/adapted")
    add("--batch-size", type=int, default=8, metavar="N", help="clips that go through the model at once")
    add("--bootstrap-samples", type=int, default=1000, metavar="N", help="resamples behind each interval")
    add("--seed", type=int, default=0, help="of resampling, and of the folds where speakers are not known")


def run(given: argparse.Namespace) -> int:
    """Run the command; the exit status is 0.

    Raises:
        ValueError: An option is not allowed, the corpus cannot be read, or as [`adapting.adapt.adapt`].
    """
    from huggingface_hub.constants import HF_HOME
    from transformers.utils import logging

    from speech_affect.cli.estimators import chosen_model

    from ..adapting.adapt import AdaptSettings, adapt, check_new_folder
    from ..corpora.load import read_corpus
    from ..settings.corpora import kind_of
    from ..settings.corpus_facts import corpus_facts
    from ..settings.recipe_file import read_mapping

    for name in ("batch_size", "bootstrap_samples"):
        if getattr(given, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')} is {getattr(given, name)}; give 1 or more")
    check_new_folder(given.output)  # before the corpus is read
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    options = read_mapping("--corpus-options", given.corpus_options or {})
    kind = kind_of(given.data_dir, options)
    if Path(given.data_dir).is_file() and options and "split_column" not in options:
        options.setdefault("split", "train")  # all clips are used; without it speakers would be needed
    facts = corpus_facts(given.corpus_facts, kind, options.get("ratings") == "emotion")
    corpus = read_corpus(kind, given.data_dir, options, Path(HF_HOME) / "speech_affect")
    settings = AdaptSettings(given.batch_size, given.bootstrap_samples, given.seed, facts)
    result = adapt(chosen_model(given.model), corpus, given.output, settings)
    print(summary(result))
    print(f"{given.output}: {result['model']} with {result['fit']}, by {result['clips']} clips of {result['corpus']}")
    return 0


def summary(result: dict) -> str:
    """Return CCC before and after as lines of text; `result` is the content of `adapt.json`."""
    kind = "speakers" if result["folds"]["by_speaker"] else "clips; speakers are not known"
    lines = [f"CCC out of fold [95%], {result['folds']['number']} groups of {kind}:"]
    for name, of in result["out_of_fold"]["ccc"].items():
        before, after = ("{estimate:6.3f} [{low:.3f}, {high:.3f}]".format(**of[key]) for key in ("before", "after"))
        own = set(result["adapted"]) if name == "mean" else {name}
        lines.append(f"  {name:10} {before} -> {after}{' (by word)' if own <= set(result['by_word']) else ''}")
    return "\n".join(lines + [f"  {name:10} too few ratings: it stays as it was" for name in result["unchanged"]])
