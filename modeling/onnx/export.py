"""A trained model as an ONNX file."""

import copy
import hashlib
import os
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from ..audio import SHORTEST_S
from ..checks import check_unchanged, fixed_settings
from ..modeling_affect import AffectModel


try:
    import onnx
    import onnxruntime

    from .encoder import encoder_frames
    from .graph import OnnxGraph
    from .head import affect_heads, align_frames, array, stream_state, time_conv_gru
    from .mel import log_mel, subtract_running_mean
    from .metadata import OnnxMetadata, streaming_path
    from .quantization import store_int8
except ImportError as error:
    raise ImportError("exporting needs onnx and onnxruntime: pip install 'speech-affect[onnx]'") from error

LARGEST_BYTES = 2**31 - 2**24  # of a protobuf message, less the graph itself
CHECKED_SAMPLES = (9_000, 40_001)
LARGEST_DIFFERENCE = 1e-3  # on the label scale


def build_onnx(model: AffectModel, precision: str = "float32", *, streaming: bool = False) -> onnx.ModelProto:
    """Build the graph of a model in evaluation mode, from the raw waveform to what the model returns.

    Inputs are `input_values` (batch, samples) float32, the waveform at 16 kHz in [-1, 1], and `num_samples` (batch,)
    int64, the valid ones of each row; the others are ignored. Outputs are `logits` on the label scale,
    `embedding`, and `uncertainty`, `emotion_logits` and `gender_logits` where the model has them.

    The streaming graph takes audio block by block. Its further inputs `context`, `hidden`, `pooled_sum` and
    `pooled_count` are zeros for the first block, and for every other the outputs `next_context`, `next_hidden`,
    `next_pooled_sum` and `next_pooled_count` of the block before; `logits` are then of all audio so far. Where the
    branch is normalised there is `mel_sum` as well, the only one that is float64. A model with encoders takes one clip
    of 0.1 to 30 s at a time, and has no streaming graph.

    Args:
        model: reads audio alone, with its front end.
        precision: that the weights will be stored in; noted in the metadata.
        streaming: build the streaming graph.

    Returns:
        The checked model, with [`OnnxMetadata`], which are the same in both graphs.

    Raises:
        ValueError: a model that reads text or pitch, has no front end, or has an encoder that cannot be exported or
            streamed.
    """
    _check_model(model)
    if streaming and model.config.encoders:
        raise ValueError("a model with encoders has no streaming graph; leave out streaming")
    config, graph = model.config, OnnxGraph()
    batch = 1 if config.encoders else "batch"
    waveform = graph.input("input_values", "float32", [batch, "samples"])
    num_samples = graph.input("num_samples", "int64", [batch])
    model = copy.deepcopy(model).float().cpu().eval()
    if config.encoders:
        clip = graph.op("Slice", waveform, [0], num_samples, [1])
        _outputs(graph, model, _pooled_of_clip(graph, model, clip), 1)
    else:
        _of_mel_energies(graph, model, waveform, num_samples, streaming)
    exported = graph.model(config.model_type, _metadata(model, precision).to_strings())
    if config.encoders:
        _check_equal(model, exported)
    return exported


def _check_model(model: AffectModel) -> None:
    if not hasattr(model, "regressor"):
        raise ValueError(f"a {type(model).__name__} is no model of this package")
    check_unchanged(model.regressor.built_with, fixed_settings(model.config))
    size = 4 * sum(parameter.numel() for parameter in model.parameters())
    if size > LARGEST_BYTES:
        raise ValueError(f"this model has {size / 1e9:.1f} GB of weights; a file holds {LARGEST_BYTES / 1e9:.1f}")
    if model.config.reads_text:
        raise ValueError("this model reads a transcript, which the exported graph does not; export an audio model")
    if model.front_end is None:
        raise ValueError("this model was built with_front_end=False; attach_front_end first")
    if any(branch.source == "mfb_f0" for branch in model.config.branches):
        raise ValueError(
            "the branch 'mfb_f0' follows pitch along the whole clip, which the exported graph cannot; export a model "
            "with 'mfb'"
        )
    if not model.config.encoders and len(model.config.branches) > 1:
        raise ValueError(
            f"this model has {len(model.config.branches)} acoustic branches and no encoder, which is not exported; "
            "export a model with one of them"
        )


def _check_equal(model: AffectModel, exported: onnx.ModelProto) -> None:
    """Raise a `ValueError` if the graph that torch made of an encoder gives other estimates than the encoder."""
    session = onnxruntime.InferenceSession(exported.SerializeToString(), providers=["CPUExecutionProvider"])
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


def _of_mel_energies(graph: OnnxGraph, model, waveform: str, num_samples: str, streaming: bool) -> None:
    """Add the outputs of a model whose only branch is of mel energies, and on demand the state of a stream."""
    [name], [tc_gru], regressor = model.regressor.names, model.regressor.tc_grus, model.regressor
    source = model.front_end.acoustic[name]
    filterbank, statistics = source.mel_filterbank, [array(values) for values in _statistics(regressor, name)]
    frames, _ = log_mel(graph, waveform, filterbank)
    lengths = graph.op("Sub", num_samples, [filterbank.window_size - filterbank.hop])
    lengths = graph.op("Div", lengths, [filterbank.hop])
    state = stream_state(graph, tc_gru) if streaming else None
    before = None
    if state and source.normalization:  # a block that is not the last has whole strides
        count = graph.op("Mul", graph.cast(state["pooled_count"], "float64"), np.float64(tc_gru.stride))
        before = (count, graph.input("mel_sum", "float64", ["batch", filterbank.num_mel_bins]))
    if source.normalization:
        frames, mel_sum = subtract_running_mean(graph, frames, before)
    pooled_sum, pooled_count, context, hidden = time_conv_gru(graph, tc_gru, frames, statistics, lengths, state)
    if state:
        pooled_sum = graph.op("Add", state["pooled_sum"], pooled_sum)
        pooled_count = graph.op("Add", state["pooled_count"], pooled_count)
    _outputs(graph, model, graph.op("Div", pooled_sum, pooled_count), "batch")
    if not state:
        return
    size, layers = tc_gru.gru.hidden_size, tc_gru.gru.num_layers
    graph.output("next_context", context, ["batch", len(statistics[0]), tc_gru.left_context])
    graph.output("next_hidden", hidden, [layers, "batch", size])
    graph.output("next_pooled_sum", pooled_sum, ["batch", size])
    graph.output("next_pooled_count", pooled_count, ["batch", 1])
    if before:
        graph.output("next_mel_sum", mel_sum, ["batch", filterbank.num_mel_bins], "float64")


def _pooled_of_clip(graph: OnnxGraph, model, clip: str) -> str:
    """Return the pooled frames (1, pooled width) of all branches; the clip (1, samples) has no padding."""
    regressor, front_end = model.regressor, model.front_end
    frames: dict[str, str] = {}
    for name, source in front_end.acoustic.items():
        raw, _ = log_mel(graph, clip, source.mel_filterbank)
        if source.normalization:
            raw, _ = subtract_running_mean(graph, raw)
        mean, std = (array(values)[:, None] for values in _statistics(regressor, name))
        frames[name] = graph.op("Div", graph.op("Sub", raw, mean), std)
    for source, encoder in front_end.encoders.items():
        readers = [branch for branch in model.config.branches if branch.source == source]
        if readers:
            inputs = [(branch.hidden_state, regressor.inputs[branch.name]) for branch in readers]
            tensors = encoder_frames(graph, encoder, inputs, clip)
            frames.update({branch.name: tensor for branch, tensor in zip(readers, tensors, strict=True)})
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


def _statistics(regressor, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    return regressor.inputs[name].frame_mean, regressor.inputs[name].frame_std


def _outputs(graph: OnnxGraph, model: AffectModel, pooled: str, batch: int | str) -> None:
    sizes = {
        "embedding": model.config.embedding_size,
        "emotion_logits": len(model.config.emotion_names or ()),
        "gender_logits": len(model.config.gender_names or ()),
    }
    for name, tensor in affect_heads(graph, model.regressor, pooled, model.config.label_range).items():
        graph.output(name, tensor, [batch, sizes.get(name, len(model.config.id2label))])


def _metadata(model, precision: str) -> OnnxMetadata:
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
        weights_sha256=_fingerprint(model),
        speech_affect_version=version("speech-affect"),
    )


def _fingerprint(model) -> str:
    digest = hashlib.sha256()
    for name, values in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(array(values).tobytes())
    return digest.hexdigest()


def export_onnx(model: AffectModel, path: str | os.PathLike, *, int8: bool = False) -> Path:
    """Write a model as an ONNX file, from the raw waveform to the estimates.

    A model without encoders is written twice: `model.onnx` takes whole clips, and `model_streaming.onnx` beside it
    takes audio block by block. [`OnnxAffect`] runs them on any audio. For other programs, inputs and outputs are those
    of [`build_onnx`], and `metadata_props` describe them.

    Args:
        model: reads audio alone.
        path: of the file to write for whole clips, `.onnx`.
        int8: store the weights in eight bits, a quarter of the size; they are still computed with in float32.

    Returns:
        The path.

    Raises:
        ValueError: the path is a folder, its folder does not exist, or the model cannot be exported.
    """
    path = check_path(path)
    precision = "int8" if int8 else "float32"
    graphs = {path: build_onnx(model, precision)}
    if not model.config.encoders:
        graphs[streaming_path(path)] = build_onnx(model, precision, streaming=True)
    for target, exported in graphs.items():
        if int8:
            store_int8(exported)
        _write(target, exported.SerializeToString())
    return path


def check_path(path: str | os.PathLike) -> Path:
    """Return the path of a file that can be written as ONNX; any other raises a `ValueError`."""
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{str(path)!r} is a folder; name the file to write in it, such as model.onnx")
    if path.suffix != ".onnx":
        raise ValueError(f"{str(path)!r} does not end in .onnx; name the file to write, such as model.onnx")
    if not path.parent.is_dir():
        raise ValueError(f"{str(path.parent)!r} is no folder; make it first")
    return path


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
