"""What a program must know of an exported model, inside its file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields


@dataclass(frozen=True)
class OnnxMetadata:
    """
    Facts beside the graph, stored as one JSON value under each name.

    Args:
        model_type: of the model's configuration.
        sampling_rate: of `input_values`, in hertz.
        label_range: lowest and highest label.
        label_names: of the dimensions, in the order of `logits`.
        emotion_names, gender_names: of the classes, in the order of `emotion_logits` and `gender_logits`; or None.
        predict_uncertainty: whether there is `uncertainty`.
        shortest_clip: in samples.
        longest_clip: in samples; None where there is no limit.
        stream_window, stream_hop: in samples; None for a model without the state of a stream. A block of a stream that
            is not its last has `stream_window + n * stream_hop - frame_hop` samples, and the next one starts
            `n * stream_hop` after it.
        frame_hop: in samples, between two frames before the convolution; None without a stream's state.
        precision: of the stored weights, `"float32"` or `"int8"`.
        speech_affect_version: of the package that exported.
        source_fingerprint: SHA-256 of the exported configuration and weights.
    """

    model_type: str
    sampling_rate: int
    label_range: tuple[float, float]
    label_names: tuple[str, ...]
    emotion_names: tuple[str, ...] | None
    gender_names: tuple[str, ...] | None
    predict_uncertainty: bool
    shortest_clip: int
    longest_clip: int | None
    stream_window: int | None
    stream_hop: int | None
    frame_hop: int | None
    precision: str
    speech_affect_version: str
    source_fingerprint: str

    @property
    def id2label(self) -> dict[int, str]:
        """As of a model's configuration."""
        return dict(enumerate(self.label_names))

    def to_strings(self) -> dict[str, str]:
        """As an ONNX file holds them."""
        return {name: json.dumps(value) for name, value in asdict(self).items()}

    @classmethod
    def from_strings(cls, strings: Mapping[str, str]) -> OnnxMetadata:
        """
        Read them again.

        Raises:
            ValueError: one is missing or no JSON: the file is not of this package, or another program wrote it anew.
        """
        values = {}
        for field in fields(cls):
            try:
                value = json.loads(strings[field.name])
            except (KeyError, json.JSONDecodeError) as error:
                raise ValueError(f"its metadata lack {field.name!r}; write it with speech_affect.export") from error
            values[field.name] = tuple(value) if isinstance(value, list) else value
        return cls(**values)
