"""Lin's concordance correlation coefficient as a module for 🤗 Evaluate."""

import datasets
import evaluate
import numpy as np

from .concordance import checked_pair, concordance_correlation


_DESCRIPTION = """
Lin's concordance correlation coefficient (CCC) measures how well predictions agree with references: it is Pearson's
correlation, reduced by any difference in mean or in spread. It is 1 for perfect agreement, 0 for none and -1 for
perfect disagreement, and it is the usual measure for continuous emotion (activation, valence, dominance).
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: Floats of one dimension, or equally long rows of several dimensions: lists, or any kind of array.
    references: The same shape as `predictions`.
    names: Names of the dimensions, one for each column. Optional for three columns, where it is
        `["activation", "valence", "dominance"]`; only for several dimensions.

Returns:
    `{"ccc": float}` for one dimension; else one entry for each name, and "mean" over them.

Raises:
    ValueError: Values that are empty, not finite or of unequal shapes; names that do not fit the columns.

Examples:
    >>> ccc = evaluate.load("training/metrics/ccc")
    >>> ccc.compute(predictions=[1.0, 2.0, 3.0], references=[2.0, 3.0, 4.0])
    {'ccc': 0.5714285714285715}
"""

_CITATION = "Lin, Biometrics 45 (1989), 255-268, doi:10.2307/2532051; as BibTeX in README.md"

DIMENSION_NAMES = ("activation", "valence", "dominance")


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class ConcordanceCorrelation(evaluate.Metric):
    """The metric; the mathematics are in `concordance.py` beside it."""

    def _info(self):
        number, vector = datasets.Value("float64"), datasets.Sequence(datasets.Value("float64"))
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=[
                datasets.Features({"predictions": vector, "references": vector}),
                datasets.Features({"predictions": number, "references": number}),
            ],
            reference_urls=["https://doi.org/10.2307/2532051"],
        )

    def add_batch(self, *, predictions=None, references=None, **kwargs):
        """Add a batch of predictions and references, of any kind of array."""
        # checked before the parent keeps any of it: what it keeps of a call that fails is part of the next one
        predictions, references = checked_pair(predictions, references)
        super().add_batch(predictions=predictions, references=references, **kwargs)

    def add(self, *, prediction=None, reference=None, **kwargs):
        """Add one prediction and reference, as a batch of one."""
        self.add_batch(predictions=[prediction], references=[reference], **kwargs)

    def _compute(self, predictions, references, names=None):
        predictions, references = np.asarray(predictions), np.asarray(references)
        if references.ndim == 1:
            if names is not None:
                raise ValueError(f"names={names!r} is for several dimensions, but the values have shape (clips,).")
            return {"ccc": concordance_correlation(predictions, references)}
        names = _checked_names(names, references.shape[1])
        ccc = concordance_correlation(predictions, references)
        return {**{name: float(value) for name, value in zip(names, ccc, strict=True)}, "mean": float(ccc.mean())}


def _checked_names(names, num_dimensions: int) -> list[str]:
    if names is None:
        names = DIMENSION_NAMES if num_dimensions == len(DIMENSION_NAMES) else ()
    names = list(names)
    if len(names) != num_dimensions:
        raise ValueError(
            f"{len(names)} name(s) {names} for {num_dimensions} dimension(s); pass names=[...] with one for each."
        )
    if len({*names, "mean"}) != num_dimensions + 1:
        raise ValueError(f'The names {names} must differ from each other and from "mean", the key of their average.')
    return names
