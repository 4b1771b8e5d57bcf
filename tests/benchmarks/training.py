"""An epoch of a fusion head: on frames made once, beside one that runs the frozen encoder in its loop."""

from __future__ import annotations

import contextlib
import io

import torch
from torch.utils.data import DataLoader

from .alternating import take_turns, timed
from .extraction import BATCH_SIZE, BRANCHES, ENCODER, encoder_folder
from .operations import count_operations
from .report import Result
from .settings import Settings
from .speech import SAMPLING_RATE, read_clip


ROUNDS, NUM_CLIPS, QUICK_CLIPS = 3, 48, 4
ALL_BRANCHES = [{"source": "mfb"}, *BRANCHES]
LEAST = 20


def run(settings: Settings, machine: dict) -> Result:
    """Rows `cached_padded`, `encoder_in_loop_padded`, and both `_cut` (no padding to 30 s)."""
    count = QUICK_CLIPS if settings.quick else NUM_CLIPS
    files = settings.files[:: max(1, len(settings.files) // count)][:count]
    result = Result({"encoder": ENCODER, "clips": len(files), "batch_size": BATCH_SIZE})
    result.settings["rounds"] = settings.rounds(ROUNDS)
    try:
        encoder = encoder_folder(settings)
    except OSError as error:
        result.add_missing("cached_padded", str(error))
        return result
    contenders, heads, operations = {}, {}, {}
    for name, pad in (("padded", True), ("cut", False)):
        model, library = _model(encoder, pad)
        dataset = _dataset(files, library, settings.folder / f"frames_{name}", model.config)
        contenders[f"cached_{name}"] = timed(_cached_epoch(model, dataset), 0)
        contenders[f"encoder_in_loop_{name}"] = timed(_encoding_epoch(model, files), 0)
        heads[name], operations[name] = model, _operations(model, dataset, files)
    turns = take_turns(contenders, settings.rounds(ROUNDS))
    result.add_turns(turns)
    for name, (head, whole) in operations.items():
        result.add_floor(f"cached_{name}", head[0], head[1], machine)
        result.add_floor(f"encoder_in_loop_{name}", whole[0], whole[1], machine)
        result.add_ratio(turns, f"encoder_in_loop_{name}", f"cached_{name}")
        what = f"an epoch on cached frames ({name}): times as fast as with the encoder in the loop"
        value = result.ratio_median(f"encoder_in_loop_{name}_over_cached_{name}")
        result.add_target(f"cached_{name}", what, value, at_least=LEAST)
    return result


def _model(encoder, pad: bool):
    """A fusion model with the encoder's weights inside, and the library that they are from."""
    from speech_affect import AffectFusionConfig, AffectFusionModel
    from speech_affect_training.encoders.library import EncoderLibrary

    library = EncoderLibrary({"whisper": {"id": str(encoder), "pad_to_window": pad}}, ALL_BRANCHES, None)
    torch.manual_seed(0)
    config = AffectFusionConfig(branches=ALL_BRANCHES, encoders={"whisper": library.configs["whisper"].to_dict()})
    model = AffectFusionModel(config, with_front_end=False)
    model.attach_front_end({"whisper": library.backbone("whisper")})
    return model.train(), library


def _dataset(files, library, root, config):
    from speech_affect_training.corpora.clip_table import ClipTable
    from speech_affect_training.frames.frame_dataset import FrameDataset
    from speech_affect_training.frames.speech_frames import extract_frames

    names, count = [path.stem for path in files], len(files)
    clips = {path.stem: {"path": str(path), "bytes": None} for path in files}
    with contextlib.redirect_stderr(io.StringIO()):  # no progress bars
        caches = extract_frames(clips, ALL_BRANCHES, library, root, BATCH_SIZE)
    nothing = [None] * count
    table = ClipTable(
        files=names,
        fingerprints=names,
        labels=_labels(count).numpy(),
        label_variances=torch.zeros(count, 3).numpy(),
        emotions=nothing,
        votes=[()] * count,
        speakers=nothing,
        genders=nothing,
    )
    return FrameDataset(table, caches, config)


def _labels(count: int) -> torch.Tensor:
    return 1 + 6 * torch.rand(count, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def _cached_epoch(model, dataset):
    from speech_affect_training.frames.frame_dataset import collate_frames

    optimizer = torch.optim.AdamW(model.regressor.parameters(), lr=1e-3)

    def epoch() -> None:
        for batch in DataLoader(dataset, BATCH_SIZE, shuffle=True, collate_fn=collate_frames):
            _step(model, optimizer, batch)

    return epoch


def _encoding_epoch(model, files):
    from speech_affect import AffectFeatureExtractor

    extractor = AffectFeatureExtractor()
    optimizer = torch.optim.AdamW(model.regressor.parameters(), lr=1e-3)
    labels = _labels(len(files)).float()

    def collate(indices: list[int]) -> dict:
        audio = [{"array": read_clip(files[index]), "sampling_rate": SAMPLING_RATE} for index in indices]
        return {**extractor(audio, return_tensors="pt"), "labels": labels[indices]}

    def epoch() -> None:
        for batch in DataLoader(range(len(files)), BATCH_SIZE, shuffle=True, collate_fn=collate):
            _step(model, optimizer, batch)

    return epoch


def _step(model, optimizer, batch: dict) -> None:
    model(**batch).loss.backward()
    optimizer.step()
    optimizer.zero_grad()


def _operations(model, dataset, files) -> tuple[tuple[float, float], tuple[float, float]]:
    """Operations and bytes of an epoch, of the head alone and with the encoder; a step backwards is two forwards."""
    from speech_affect_training.frames.frame_dataset import collate_frames

    head = frame_bytes = audio_bytes = 0.0
    encoder = 0.0
    for index, path in enumerate(files):
        item = dataset[index]
        batch = collate_frames([item])
        head += 3 * count_operations(model.regressor, lambda batch=batch: model(**batch))
        frame_bytes += sum(frames.nbytes for frames in item["frames"].values())
        samples = torch.from_numpy(read_clip(path))[None]
        encoder += count_operations(
            model.front_end, lambda samples=samples: model.front_end(samples, None, None, None)
        )
        audio_bytes += samples.nbytes
    return (head, frame_bytes), (head + encoder, audio_bytes)
