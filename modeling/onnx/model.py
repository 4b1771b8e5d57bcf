"""A whole model as an ONNX graph, from the raw waveform to what the model returns."""

from __future__ import annotations

import copy
import hashlib
import json
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import onnx
import onnxruntime
import torch

from ..audio_pieces import SHORTEST_S
from ..modeling_affect import AffectModel
from .alignment import align_frames
from .encoder import encoder_frames
from .graph import OnnxGraph
from .head import affect_heads, affect_logits, array, stream_state, time_conv_gru
from .mel import log_mel
from .metadata import OnnxMetadata


LARGEST_BYTES = 2**31 - 2**24  # of a protobuf message, less the graph itself
CHECKED_SAMPLES = (9_000, 40_001)
LARGEST_DIFFERENCE = 1e-3  # on the label scale
ORIGIN = ("_name_or_path", "architectures", "auto_map", "custom_pipelines", "dtype", "transformers_version")


def build_onnx(model: AffectModel, precision: str = "float32") -> onnx.ModelProto:
    """
    The model in evaluation mode.

    Inputs are `input_values` (batch, samples) float32, the waveform at 16 kHz in [-1, 1], and `num_samples` (batch,)
    int64, the valid ones of each row; what follows them is not heard. Outputs are `logits` on the label scale,
    `embedding`, and `uncertainty`, `emotion_logits` and `gender_logits` where the model has them.

    A model without encoders can also be run block by block: `next_context`, `next_hidden`, `next_pooled_sum` and
    `next_pooled_count` of a block go into `context`, `hidden`, `pooled_sum` and `pooled_count` of the next; `logits`
    are then of all audio so far, and `block_logits` of this block's frames, by a GRU that remembers those before.
    One with encoders hears one clip of 0.1 to 30 s at a time.

    Args:
        model: reads audio alone, with its front end.
        precision: that the weights will be stored in; noted in the metadata.

    Returns:
        the checked model, with [`OnnxMetadata`].

    Raises:
        ValueError: a model that reads text or pitch, has no front end, or an encoder that cannot be exported.
    """
    _check(model)
    config, graph = model.config, OnnxGraph()
    batch = 1 if config.encoders else "batch"
    waveform = graph.input("input_values", "float32", [batch, "samples"])
    num_samples = graph.input("num_samples", "int64", [batch])
    model = copy.deepcopy(model).float().cpu().eval()
    if config.encoders:
        clip = graph.op("Slice", waveform, graph.ints(0), num_samples, graph.ints(1))
        _outputs(graph, model, _pooled_of_clip(graph, model, clip), 1)
    else:
        _streaming(graph, model, waveform, num_samples)
    exported = graph.model(config.model_type, _metadata(model, precision).to_strings())
    if config.encoders:
        _check_equal(model, exported)
    return exported


def _check(model: AffectModel) -> None:
    if not hasattr(model, "regressor"):
        raise ValueError(f"a {type(model).__name__} is no model of this package")
    size = 4 * sum(parameter.numel() for parameter in model.parameters())
    if size > LARGEST_BYTES:
        raise ValueError(
            f"this model has {size / 1e9:.1f} GB of weights; an ONNX file holds {LARGEST_BYTES / 1e9:.1f}"
        )
    if model.config.reads_text:
        raise ValueError(
            "this model reads a transcript, which the exported graph does not take; export an audio model"
        )
    if model.front_end is None:
        raise ValueError("this model was built with_front_end=False; attach_front_end first")
    for branch in model.config.branches:
        if branch.source == "mfb_f0":
            raise ValueError(
                "the branch 'mfb_f0' follows pitch along the whole clip, which the exported graph cannot; "
                "export a model with 'mfb'"
            )


def _check_equal(model: AffectModel, exported: onnx.ModelProto) -> None:
    """Refuse what torch made of an encoder, which this package did not write, where it is not the encoder."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(exported.SerializeToString(), options, providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(0)
    for num_samples in CHECKED_SAMPLES:
        waveform = (generator.standard_normal((1, num_samples)) / 10).astype(np.float32)
        [logits] = session.run(["logits"], {"input_values": waveform, "num_samples": np.array([num_samples])})
        with torch.inference_mode():
            difference = np.abs(logits - array(model(torch.from_numpy(waveform)).logits)).max()
        if not difference <= LARGEST_DIFFERENCE:
            raise ValueError(
                f"the exported encoder's estimates differ from the model's by {difference:.1e}: "
                "it cannot be exported with these versions of torch and transformers"
            )


def _streaming(graph: OnnxGraph, model: AffectModel, waveform: str, num_samples: str) -> None:
    """Outputs of a model whose one branch is of mel energies, and the state of a stream."""
    [name], [tc_gru], regressor = model.regressor.names, model.regressor.tc_grus, model.regressor
    filterbank = model.front_end.acoustic[name].mel_filterbank
    statistics = [array(values) for values in (regressor.inputs[name].frame_mean, regressor.inputs[name].frame_std)]
    frames, _ = log_mel(graph, waveform, filterbank)
    lengths = graph.op("Sub", num_samples, graph.ints(filterbank.window_size - filterbank.hop))
    lengths = graph.op("Div", lengths, graph.ints(filterbank.hop))
    state = stream_state(graph, statistics[0])
    block_sum, block_count, context, hidden = time_conv_gru(graph, tc_gru, frames, statistics, lengths, state)
    pooled_sum = graph.op("Add", state.pooled_sum, block_sum)
    pooled_count = graph.op("Add", state.pooled_count, block_count)
    _outputs(graph, model, graph.op("Div", pooled_sum, pooled_count), "batch")
    block_logits, _ = affect_logits(
        graph, regressor, graph.op("Div", block_sum, block_count), model.config.label_range
    )
    size, layers = tc_gru.gru.hidden_size, tc_gru.gru.num_layers
    graph.output("block_logits", block_logits, ["batch", len(model.config.id2label)])
    graph.output("next_context", context, ["batch", len(statistics[0]), tc_gru.left_context])
    graph.output("next_hidden", hidden, [layers, "batch", size])
    graph.output("next_pooled_sum", pooled_sum, ["batch", size])
    graph.output("next_pooled_count", pooled_count, ["batch", 1])


def _pooled_of_clip(graph: OnnxGraph, model: AffectModel, clip: str) -> str:
    """(1, pooled width), from all branches of a model with encoders; the clip (1, samples) has no padding."""
    regressor, front_end = model.regressor, model.front_end
    frames: dict[str, str] = {}
    for name, source in front_end.acoustic.items():
        raw, _ = log_mel(graph, clip, source.mel_filterbank)
        mean, std = (
            array(values)[:, None] for values in (regressor.inputs[name].frame_mean, regressor.inputs[name].frame_std)
        )
        frames[name] = graph.op("Div", graph.op("Sub", raw, graph.constant(mean)), graph.constant(std))
    for source, encoder in front_end.encoders.items():
        readers = [branch for branch in model.config.branches if branch.source == source]
        if readers:
            inputs = [(branch.hidden_state, regressor.inputs[branch.name]) for branch in readers]
            frames.update(
                zip((branch.name for branch in readers), encoder_frames(graph, encoder, inputs, clip), strict=True)
            )
    sequences = [frames[name] for name in regressor.names]
    if regressor.fusion_level == "frame":
        sequences = [graph.op("Concat", *align_frames(graph, sequences, regressor.hops), axis=1)]
    pooled = []
    for tc_gru, sequence in zip(regressor.tc_grus, sequences, strict=True):
        width = tc_gru.conv.in_channels
        standard = (np.zeros(width, dtype=np.float32), np.ones(width, dtype=np.float32))
        total, count, _, _ = time_conv_gru(graph, tc_gru, sequence, standard, graph.size(sequence, 2), None)
        pooled.append(graph.op("Div", total, count))
    return pooled[0] if len(pooled) == 1 else graph.op("Concat", *pooled, axis=1)


def _outputs(graph: OnnxGraph, model: AffectModel, pooled: str, batch: int | str) -> None:
    sizes = {
        "embedding": model.config.embedding_size,
        "emotion_logits": len(model.config.emotion_names or ()),
        "gender_logits": len(model.config.gender_names or ()),
    }
    for name, tensor in affect_heads(graph, model.regressor, pooled, model.config.label_range).items():
        graph.output(name, tensor, [batch, sizes.get(name, len(model.config.id2label))])


def _metadata(model: AffectModel, precision: str) -> OnnxMetadata:
    config = model.config
    filterbanks = [source.mel_filterbank for source in model.front_end.acoustic.values()]
    streams = not config.encoders
    shortest = [filterbank.window_size for filterbank in filterbanks]
    if not streams:
        shortest.append(round(SHORTEST_S * config.sampling_rate))
    stride = model.regressor.tc_grus[0].stride
    return OnnxMetadata(
        model_type=config.model_type,
        sampling_rate=config.sampling_rate,
        label_range=tuple(config.label_range),
        label_names=tuple(config.id2label.values()),
        emotion_names=tuple(config.emotion_names) if config.emotion_names else None,
        gender_names=tuple(config.gender_names) if config.gender_names else None,
        predict_uncertainty=config.predict_uncertainty,
        shortest_clip=max(shortest),
        longest_clip=None if streams else min(encoder.window_size for encoder in model.front_end.encoders.values()),
        stream_window=filterbanks[0].window_size if streams else None,
        stream_hop=filterbanks[0].hop * stride if streams else None,
        frame_hop=filterbanks[0].hop if streams else None,
        precision=precision,
        speech_affect_version=_version(),
        source_fingerprint=fingerprint(model),
    )


def fingerprint(model: AffectModel) -> str:
    """SHA-256 of a model's configuration and weights, in hexadecimal; saving and loading leave it as it is."""
    config = json.dumps(_without_origin(model.config.to_dict()), sort_keys=True, default=str)
    digest = hashlib.sha256(config.encode())
    for name, values in sorted(model.state_dict().items()):
        digest.update(name.encode() + np.ascontiguousarray(array(values)).tobytes())
    return digest.hexdigest()


def _without_origin(value):
    """A configuration without what says where it was saved and by which program."""
    if isinstance(value, dict):
        return {str(key): _without_origin(entry) for key, entry in value.items() if key not in ORIGIN}
    return [_without_origin(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def _version() -> str:
    try:
        return version("speech-affect")
    except PackageNotFoundError:
        return "unknown"
