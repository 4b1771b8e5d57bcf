"""The README.md of a dataset: what the Hub and `datasets` read from its front matter, and what people read."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from speech_affect import DIMENSIONS

from .corpus import Corpus


def dataset_card(corpus: Corpus, counts: Mapping[str, Mapping[str, int]], licence: str) -> str:
    """Returns the card of a corpus written as Parquet.

    Args:
        corpus: What was written.
        counts: Split -> its `rows` and `shards`.
        licence: What the card says in front of everything else.
    """
    # the number of shards is in the pattern: those of an earlier writing under the same name are not mixed in
    files = [
        {"split": split, "path": f"data/{split}-*-of-{count['shards']:05d}.parquet"} for split, count in counts.items()
    ]
    front = {
        "pretty_name": corpus.name,
        "license": "other",
        "task_categories": ["audio-classification"],
        "tags": ["audio", "speech", "emotion", *DIMENSIONS],
        "configs": [{"config_name": "default", "data_files": files}],
    }
    low, high = corpus.label_range
    rows = "\n".join(f"| `{split}` | {count['rows']:,} |" for split, count in counts.items())
    return f"""---
{yaml.safe_dump(front, sort_keys=False)}---

# {corpus.name}

> **{licence}**

Speech rated for {", ".join(DIMENSIONS)} from {low:g} to {high:g}. {corpus.note}

| split | clips |
|---|---|
{rows}

```python
import io

import soundfile
from datasets import Audio, load_dataset

splits = load_dataset("FOLDER_OR_REPOSITORY")  # streaming=True reads clips as they are needed
samples, sampling_rate = soundfile.read(io.BytesIO(splits["train"][0]["audio"]["bytes"]))
decoded = splits.cast_column("audio", Audio())  # where torchcodec and FFmpeg are installed
```

`emotion` is the consensus class (one letter), `graders` holds what each person gave; both are empty where the corpus
has none. Ratings are empty where they are withheld.
"""
