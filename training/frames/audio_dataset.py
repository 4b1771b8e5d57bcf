"""A dataset of clips with their audio, for encoders that are trained, beside the cached frames of others."""

from collections.abc import Mapping

from speech_affect.audio import load_waveform

from ..audio.augmentation import EpochCopies
from ..audio.clip_loading import LoadableClip, SourceClip, clip_duration_s, loadable
from .frame_dataset import FrameDataset


class AudioDataset(FrameDataset):
    """Clips of one split: waveform, cached frames, and the targets of the model's tasks.

    Args:
        args, kwargs: As [`FrameDataset`] takes them; `caches` are those of the branches that are not computed.
        audio: Of each clip by its fingerprint.
        copies: What is drawn of the clips instead in each epoch; items are then numbered by epoch as [`ClipSampler`]
            does.
    """

    def __init__(self, *args, audio: Mapping[str, dict | LoadableClip], copies: EpochCopies | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        self.clips = [SourceClip(fingerprint, audio[fingerprint]) for fingerprint in self.table.fingerprints]
        self.copies = copies

    def lengths(self) -> list[float]:
        """Return the duration of each clip in seconds; copies are about as long."""
        return [clip_duration_s(clip.audio) for clip in self.clips]

    def __getitem__(self, index: int) -> dict:
        epoch, row = divmod(index, len(self))
        clip = self.copies.draw(row, epoch) if self.copies else self.clips[row]
        waveform = clip.waveform() if isinstance(clip, SourceClip) else load_waveform(loadable(clip))
        return {**super().__getitem__(row), "input_values": waveform}
