"""Any audio to the models' one input: mono 16 kHz waveforms, padded, with their mask."""

from transformers.feature_extraction_sequence_utils import SequenceFeatureExtractor
from transformers.feature_extraction_utils import BatchFeature

from .audio import SAMPLING_RATE, is_one_clip, load_waveform, to_array


class AffectFeatureExtractor(SequenceFeatureExtractor):
    r"""
    Decodes, mixes down, resamples and pads.

    Args:
        feature_size (`int`, *optional*, defaults to 1): Channels of the input; 1, mono.
        sampling_rate (`int`, *optional*, defaults to 16000): Of the output, in hertz.
        padding_value (`float`, *optional*, defaults to 0.0): Samples after the end of a shorter clip.
    """

    model_input_names = ["input_values", "attention_mask"]  # noqa: RUF012

    def __init__(
        self, feature_size: int = 1, sampling_rate: int = SAMPLING_RATE, padding_value: float = 0.0, **kwargs
    ):
        kwargs.setdefault("return_attention_mask", True)
        super().__init__(feature_size=feature_size, sampling_rate=sampling_rate, padding_value=padding_value, **kwargs)

    def __call__(
        self,
        raw_speech,
        sampling_rate: int | None = None,
        padding: bool | str = True,
        max_length: int | None = None,
        truncation: bool = False,
        pad_to_multiple_of: int | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
    ) -> BatchFeature:
        r"""
        Prepare one clip or several.

        Args:
            raw_speech: One clip or a list of clips. A clip is a path, an http address, encoded bytes, a binary file
                object, a 1-D array or tensor of samples, a list of floats, or a dict with `"array"` (or `"raw"`) and
                `"sampling_rate"`, or with `"path"` / `"bytes"` as `datasets` has them. A 2-D array or tensor is a
                batch, (clips, samples), as for every feature extractor of transformers; inside of a list or a dict it
                is one clip with its channels (the shorter axis), which are averaged. For types see [`to_mono`].
            sampling_rate (`int`, *optional*): Of plain arrays, in hertz; by default the extractor's own.
            padding, max_length, truncation, pad_to_multiple_of, return_attention_mask, return_tensors:
                As in every feature extractor of transformers; lengths in samples.

        Returns:
            `input_values` (batch, samples) float32 in [-1, 1] and `attention_mask` (batch, samples).

        Raises:
            ValueError: There is no clip, or one is unreadable or shorter than 0.1 s.
        """
        if getattr(raw_speech, "ndim", 1) == 2 and 1 < raw_speech.shape[0] <= raw_speech.shape[1]:
            raw_speech = list(to_array(raw_speech))
        several = not is_one_clip(raw_speech) and isinstance(raw_speech, (list, tuple))
        clips = raw_speech if several else [raw_speech]
        if not clips:
            raise ValueError("no clip given; give at least one")
        rate = self.sampling_rate if sampling_rate is None else sampling_rate
        return self.pad(
            BatchFeature({"input_values": [load_waveform(clip, rate, self.sampling_rate) for clip in clips]}),
            padding=padding,
            max_length=max_length,
            truncation=truncation,
            pad_to_multiple_of=pad_to_multiple_of,
            return_attention_mask=return_attention_mask,
            return_tensors=return_tensors,
        )
