"""Metadata of an exported model, stored inside its file."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any


LARGEST_COUNT = 2**31 - 1  # of samples


@dataclass(frozen=True)
class OnnxMetadata:
    """Facts that a program needs beside the graph, stored as one JSON value under each name.

    Args:
        model_type: of the model's configuration.
        sampling_rate: of `input_values`, in hertz.
        label_range: lowest and highest label.
        label_names: of the dimensions, in the order of `logits`.
        emotion_names, gender_names: of the classes, in the order of `emotion_logits` and `gender_logits`.
        predict_uncertainty: whether there is `uncertainty`.
        shortest_clip: in samples.
        longest_clip: in samples; None where there is no limit.
        stream_window, stream_hop: in samples; None for a model without a streaming graph. A block of a stream that
            is not its last has `stream_window + n * stream_hop - frame_hop` samples, and the next one starts
            `n * stream_hop` after it.
        frame_hop: in samples, between two frames before the convolution; None without a streaming graph.
        precision: of the stored weights, `"float32"` or `"int8"`.
        weights_sha256: of the model's weights, the same in the plain and the streaming graph of one model.
        speech_affect_version: of the package that exported.
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
    weights_sha256: str
    speech_affect_version: str

    def __post_init__(self):
        for name in ("model_type", "precision", "weights_sha256", "speech_affect_version"):
            self._check(name, isinstance(getattr(self, name), str), "a text")
        for name in ("sampling_rate", "shortest_clip"):
            self._check(name, _is_count(getattr(self, name)), f"a whole number from 1 to {LARGEST_COUNT}")
        for name in ("longest_clip", "stream_window", "stream_hop", "frame_hop"):
            value = getattr(self, name)
            self._check(name, value is None or _is_count(value), f"null or a whole number from 1 to {LARGEST_COUNT}")
        if self.stream is None:
            self._check("longest_clip", self.longest_clip is not None, "a limit, as there is no stream")
        else:
            window, _, frame_hop = self.stream
            self._check("stream_window", frame_hop <= window, f"at least frame_hop, {frame_hop}")
        self._check("label_range", _is_range(self.label_range), "two finite numbers, the lower first")
        self._check("label_names", _are_names(self.label_names), "names, each once")
        for name in ("emotion_names", "gender_names"):
            value = getattr(self, name)
            self._check(name, value is None or _are_names(value), "null or names, each once")
        self._check("predict_uncertainty", isinstance(self.predict_uncertainty, bool), "true or false")

    def _check(self, name: str, is_good: bool, allowed: str) -> None:
        if not is_good:
            given = f"{getattr(self, name)!r:.200}"
            raise ValueError(f"its metadata have {name} {given}, which must be {allowed}: export it again")

    def check_outputs(self, shapes: Mapping[str, Sequence[int | str | None]]) -> None:
        """Raise a `ValueError` unless the graph has these outputs, by name and shape, as the metadata say."""
        widths = {"logits": self.label_names, "emotion_logits": self.emotion_names, "gender_logits": self.gender_names}
        widths["uncertainty"] = self.label_names if self.predict_uncertainty else None
        for name, names in widths.items():
            if names is None:
                continue
            width = (shapes.get(name) or [None])[-1]
            if name not in shapes or (isinstance(width, int) and width != len(names)):
                found = f"has width {width}" if name in shapes else "is not there"
                raise ValueError(
                    f"its output {name!r} {found}, and its metadata name {len(names)} values: export it again"
                )

    @property
    def stream(self) -> tuple[int, int, int] | None:
        """Window, hop and frame hop of a stream in samples; None for a model without a streaming graph."""
        if self.stream_window is None or self.stream_hop is None or self.frame_hop is None:
            return None
        return self.stream_window, self.stream_hop, self.frame_hop

    @property
    def id2label(self) -> dict[int, str]:
        """Names of the dimensions, as in a model's configuration."""
        return dict(enumerate(self.label_names))

    def to_strings(self) -> dict[str, str]:
        """Return the metadata as an ONNX file holds them."""
        return {name: json.dumps(value) for name, value in asdict(self).items()}

    @classmethod
    def from_strings(cls, strings: Mapping[str, str]) -> OnnxMetadata:
        """Read the metadata of an ONNX file; an entry that is missing or out of range raises a `ValueError`."""
        values: dict[str, Any] = {}
        for field in fields(cls):
            try:
                value = json.loads(strings[field.name])
            except (KeyError, ValueError, RecursionError) as error:
                raise ValueError(
                    f"its metadata lack {field.name!r}; write it with speech_affect.onnx.export"
                ) from error
            values[field.name] = tuple(value) if isinstance(value, list) else value
        return cls(**values)


def streaming_path(path: str | os.PathLike) -> Path:
    """Return where the streaming graph of a model lies: `model_streaming.onnx` beside `model.onnx`."""
    return Path(path).with_name(f"{Path(path).stem}_streaming.onnx")


def _is_count(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LARGEST_COUNT


def _is_range(values) -> bool:
    if not isinstance(values, tuple) or len(values) != 2 or any(type(value) not in (int, float) for value in values):
        return False
    return -sys.float_info.max <= values[0] < values[1] <= sys.float_info.max


def _are_names(values) -> bool:
    texts = isinstance(values, tuple) and all(isinstance(value, str) for value in values)
    return texts and len(set(values)) == len(values) > 0
