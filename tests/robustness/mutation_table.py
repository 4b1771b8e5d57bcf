"""Contracts of the package, and for each a way to break it in the source."""

from __future__ import annotations

from typing import NamedTuple


class Mutation(NamedTuple):
    """
    One contract broken.

    Args:
        name: of the contract.
        path: of the file, from the repository root.
        old: source text that stands in it once.
        new: what takes its place.
        tests: arguments for pytest that should fail then.
    """

    name: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTATIONS = (
    Mutation(
        "mask: pooling counts padding",
        "modeling/pooling.py",
        "    weights = mask.unsqueeze(-1).to(",
        "    weights = torch.ones_like(mask).unsqueeze(-1).to(",
        ("tests/modeling/test_pooling.py",),
    ),
    Mutation(
        "mask: what lies behind it is heard",
        "modeling/front_end.py",
        "input_values = input_values * attention_mask.to(input_values.dtype)",
        "input_values = input_values * 1",
        ("tests/modeling/test_modeling_affect.py",),
    ),
    Mutation(
        "padding: encoders that it would change are batched",
        "modeling/encoder.py",
        'and getattr(backbone, "feat_extract_norm", None) == "layer"',
        'and hasattr(backbone, "feat_extract_norm")',
        ("tests/modeling/test_encoder.py",),
    ),
    Mutation(
        "padding: the convolution looks ahead",
        "modeling/tc_gru.py",
        "(self.left_context, 0))",
        "(self.left_context // 2, self.left_context - self.left_context // 2))",
        ("tests/modeling/test_tc_gru.py",),
    ),
    Mutation(
        "scale: estimates are on half the label range",
        "modeling/modeling_affect.py",
        "values = values * self._half_range + (high + low) / 2",
        "values = values * self._half_range / 2 + (high + low) / 2",
        ("tests/modeling/test_modeling_affect.py",),
    ),
    Mutation(
        "scale: integers are not divided by their full scale",
        "modeling/audio.py",
        '"int16": 2**15',
        '"int16": 2**14',
        ("tests/modeling/test_feature_extraction_affect.py",),
    ),
    Mutation(
        "scale: variances are scaled like means",
        "modeling/modeling_affect.py",
        'label_variances.to(heads["unit"].dtype) / self._half_range**2',
        'label_variances.to(heads["unit"].dtype) / self._half_range',
        ("tests/modeling/test_multi_task.py",),
    ),
    Mutation(
        "splits: a run does not check them",
        "training/run.py",
        "    check_disjoint(corpus)\n",
        "",
        ("tests/training/test_splits_check.py",),
    ),
    Mutation(
        "splits: development may share speakers with training",
        "training/settings/labels.py",
        'LEARNT_FROM = ("train", "development")',
        'LEARNT_FROM = ("test3",)',
        ("tests/training/test_splits_check.py",),
    ),
    Mutation(
        "splits: unlabelled copies of test clips are trained on",
        "training/data_splits.py",
        'for split, table in self.tables.items() if split != "train" for f in',
        'for split, table in self.tables.items() if split == "none" for f in',
        ("tests/training/test_division.py",),
    ),
    Mutation(
        "atomic rename: predictions are written in place",
        "training/prediction.py",
        'temporary = path.with_suffix(".tmp")',
        "temporary = path",
        ("tests/training/test_atomic_writes.py",),
    ),
    Mutation(
        "atomic rename: notes of a job are written in place",
        "training/job.py",
        'temporary = path.with_suffix(".tmp")',
        "temporary = path",
        ("tests/training/test_atomic_writes.py",),
    ),
    Mutation(
        "atomic rename: an earlier checkpoint is deleted in place",
        "training/checkpoint.py",
        "os.replace(folder, earlier)",
        "shutil.rmtree(folder)",
        ("tests/training/test_checkpoint.py",),
    ),
    Mutation(
        "chunking: a stream forgets its state",
        "modeling/stream_hidden.py",
        "self._tc_gru.gru(hidden.transpose(1, 2), self._state)",
        "self._tc_gru.gru(hidden.transpose(1, 2), None)",
        ("tests/modeling/test_streaming.py",),
    ),
    Mutation(
        "loss: concordance ignores the means",
        "modeling/losses.py",
        "+ sums[4] / n - mean_y**2 + (mean_x - mean_y) ** 2",
        "+ sums[4] / n - mean_y**2",
        ("tests/modeling/test_losses.py",),
    ),
    Mutation(
        "safety: pickled weights are loaded",
        "modeling/modeling_affect.py",
        '        kwargs["use_safetensors"] = True\n',
        "",
        ("tests/modeling/test_modeling_affect.py",),
    ),
)
