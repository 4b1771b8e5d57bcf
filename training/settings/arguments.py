"""The arguments of a run, as a recipe or the command line gives them. Each class has a heading in `--help`."""
# ruff: noqa: RUF009 - HfArg returns a field

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from transformers import TrainingArguments
from transformers.hf_argparser import HfArg


@dataclass(frozen=True)
class CorpusArguments:
    """Corpus"""

    corpus: Literal["demo", "msp_podcast", "table"] | None = HfArg(
        default=None,
        help="Kind of the corpus; by default table where --data_dir is a file, or msp_podcast, else demo.",
    )
    data_dir: list[str] | None = HfArg(
        default=None,
        help="Folder in MSP-Podcast layout, or a table; several are corpora that are named by the "
        "last part of their paths.",
    )
    corpus_options: dict | str | None = HfArg(
        default=None, help="Mapping: further arguments of the corpus loader, such as the names of columns."
    )
    corpus_note: str | None = HfArg(default=None, help="What readers of the results should know of this corpus.")
    corpus_facts: dict | str | None = HfArg(
        default=None,
        help="Mapping for the model cards: labels, license, terms, ... (training/settings/corpus_facts.py); or the "
        "name of a known corpus, such as msp_podcast.",
    )
    corpora: dict | str | None = HfArg(
        default=None,
        help="Mapping, for several corpora in place of one: name -> {corpus, data_dir within that of the run, "
        "corpus_options, language, emotions, share, facts, of} (training/settings/corpora.py).",
    )
    label_range: list[float] | None = HfArg(
        default=None,
        help="Lowest and highest label of the models, for several corpora; by default those of the first.",
    )
    unlabelled_dir: list[str] = HfArg(
        default_factory=list,
        help="Folders of audio for systems with unlabelled: true; demo stands for the demo corpus's voices.",
    )
    unlabelled_stream: list[str] = HfArg(
        default_factory=list,
        help="Instead of unlabelled_dir, speech that is heard in training and never written: folders of audio, tar "
        "files in WebDataset format ('shards/*.tar'), Parquet files with a column of audio ('*.parquet'), "
        "hub:NAME[:CONFIG]/SPLIT.",
    )
    unlabelled_share: float | None = HfArg(
        default=None,
        help="Share of unlabelled speech in the training batches of such students, between 0 and 1; by default that "
        "of its clips among all. unlabelled_stream needs it.",
    )
    augmentation_copies: int = HfArg(default=0, help="Augmented copies per training clip, for augmented systems.")
    augmentation: dict | str | None = HfArg(default=None, help="Mapping: parameters of the augmentation.")


@dataclass(frozen=True)
class SystemArguments:
    """Systems"""

    recipe: str = HfArg(default="demo", help="Name of a file in training/recipes, or a path: defaults of all others.")
    encoders: dict | str | None = HfArg(
        default=None,
        help="Mapping: name -> {id, revision, pad_to_window}, or {distilled_from, hidden_states, config, training}: "
        "smaller than another one, which it learns from on --unlabelled_dir (training/settings/distilled_encoder.py).",
    )
    systems: dict | str | None = HfArg(
        default=None, help="Mapping: name -> {role, branches, ...}, or {role: checkpoint, id, ...}."
    )
    only: list[str] | None = HfArg(default=None, help="Run only these systems and their teachers.")
    head: dict | str | None = HfArg(default=None, help="Mapping: sizes of the head, for every system.")
    seeds: list[int] = HfArg(default_factory=lambda: [0], help="Each system is trained once per seed.")
    early_stopping_patience: int = HfArg(
        default=10, help="Evaluations without a better development CCC before training stops; 0 for no limit."
    )


@dataclass(frozen=True)
class EvaluationArguments:
    """Evaluation"""

    folds: int | None = HfArg(default=None, help="Also cross-validate by speaker with this many folds (split cv5).")
    evaluate: list[str] = HfArg(
        default_factory=list,
        help="Folders or Hub ids of finished models: they are evaluated, and nothing is trained.",
    )
    train_on: list[str] = HfArg(
        default_factory=list, help="Corpora to train and to develop on; by default all that are not tested on."
    )
    test_on: list[str] = HfArg(
        default_factory=list,
        help="Corpora whose clips are all tested on (split test1); by default all that are not trained on. With "
        "--evaluate also all: every clip there is.",
    )
    hold_out_tests: bool = HfArg(
        default=True,
        help="False: checkpoints to use, not to score: they are trained on the test splits too, and the scores are "
        "those of the folds alone.",
    )
    leave_out: list[str] = HfArg(
        default_factory=list,
        help="Corpora that are tested on by models trained on the other ones (split left_out); all for each.",
    )
    cross_validated: list[str] = HfArg(
        default_factory=list, help="Systems to cross-validate and to train without corpora; by default all."
    )
    conditions: dict | str | None = HfArg(
        default=None, help="Mapping: systems, and the white_db, babble_db, room_s that they are tested under."
    )
    probe: list[str] = HfArg(default_factory=list, help="Encoders whose hidden states are probed one by one.")
    bootstrap_samples: int = HfArg(default=1000, help="Resamples behind each interval.")


@dataclass(frozen=True)
class MachineArguments:
    """Machine"""

    cache_dir: str | None = HfArg(
        default=None, help="Folder for frames of frozen encoders and converted encoders; by default under HF_HOME."
    )
    extraction_batch_size: int = HfArg(
        default=8, help="Clips per batch through the encoders; on a GPU more, as far as they are shorter than 30 s."
    )
    extraction_dtype: Literal["float32", "bfloat16", "float16"] | None = HfArg(
        default=None,
        help="Number format of frozen encoders of speech, each with frames of its own; by default that of their "
        "checkpoint.",
    )
    teacher_dtype: Literal["float32", "bfloat16", "float16"] = HfArg(
        default="float32", help="Number format of the encoders that hear unlabelled_stream."
    )
    teacher_device: str | None = HfArg(
        default=None, help="Device of the teachers that hear unlabelled_stream; by default that of the student."
    )
    job_workers: int | None = HfArg(default=None, help="Jobs at a time; by default one per core if there is no GPU.")


@dataclass
class AffectTrainingArguments(TrainingArguments):
    """Output and Hub"""

    output_dir: str | None = HfArg(
        default=None, help="Folder of the run; by default outputs/<recipe>, with --evaluate outputs/evaluation."
    )
    push_to_hub: bool = HfArg(
        default=False, help="Push each system when all its seeds are finished, and again with its model card."
    )
    hub_model_id: str | None = HfArg(
        default=None, help="user/name: systems go to user/name-<system>; by default name is that of output_dir."
    )
    hub_private_repo: bool | None = HfArg(default=True, help="false makes the repositories public.")
    hub_strategy: str = HfArg(default="every_save", help="every_save: each when it is finished; end: all at the end.")


RUN_ARGUMENTS = (CorpusArguments, SystemArguments, EvaluationArguments, MachineArguments)
ALL_ARGUMENTS = (*RUN_ARGUMENTS, AffectTrainingArguments)
