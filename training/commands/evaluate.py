"""`speech-affect evaluate`: finished models on a corpus."""

import argparse


EXAMPLES = """examples:
  speech-affect evaluate --data-dir MSP-PODCAST-Publish-1.11
  speech-affect evaluate mine their/model --data-dir clips.csv --corpus-options '{label_range: [1, 5], split: test1}'
"""
# options of this command that are arguments of training/run.py
PASSED_ON = ("data_dir", "corpus_options", "systems", "test_on", "folds", "conditions", "output_dir", "cache_dir")


def add_arguments(commands: argparse._SubParsersAction) -> None:
    """Add the command to those of `speech-affect`."""
    parser = commands.add_parser(
        "evaluate",
        help="models on a corpus, to a table with paired tests",
        description="Evaluate finished models on rated clips: CCC with intervals by split, gender, language and "
        "corpus, and paired tests of each model against the first. Nothing is trained. The table is printed; "
        "results.md, results.json, the predictions and figures are in the output folder.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, extra="train")
    add = parser.add_argument
    add(
        "models",
        nargs="*",
        metavar="MODEL",
        help="folder or Hub id, of this package or a peer's, or student or student_nano, which come with the package "
        "(default: student)",
    )
    add(
        "--data-dir",
        nargs="+",
        metavar="CORPUS",
        required=True,
        help="folder in MSP-Podcast layout, or a table (.csv, .parquet); several are several corpora",
    )
    add("--corpus-options", metavar="MAPPING", help="of a table: label_range, names of columns, split of all clips")
    add("--systems", metavar="MAPPING", help="more models, name: {role: checkpoint, id, outputs, output_range, ...}")
    add("--test-on", nargs="+", metavar="NAME", help="corpora to evaluate on every clip of; all for each")
    add("--folds", type=int, metavar="N", help="also on every clip, pooled as by cross-validation with so many folds")
    add("--conditions", metavar="MAPPING", help="models, and white_db, babble_db, room_s that they are tested under")
    add("--output-dir", default="outputs/evaluation", metavar="FOLDER", help="by default outputs/evaluation")
    add("--cache-dir", metavar="FOLDER", help="where values are kept, and not computed again; by default in HF_HOME")


def run(given: argparse.Namespace) -> int:
    """Run the command; the exit status is 0.

    Raises:
        ValueError: As training/run.py.
    """
    from speech_affect.cli.estimators import chosen_model

    from ..run import main

    argv = ["--evaluate", *map(chosen_model, given.models or [None])]
    for name in PASSED_ON:
        if (value := getattr(given, name)) is not None:
            argv += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
    main(argv)
    return 0
