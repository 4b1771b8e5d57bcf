"""Audio, and the transcript where a model reads it, to the inputs of a model."""

from functools import partial
from typing import Any

from transformers import AutoFeatureExtractor
from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import ProcessorMixin
from transformers.utils import cached_file


class AffectProcessor(ProcessorMixin):
    r"""
    A feature extractor and, for a model that reads the transcript, the tokenizer of its text encoder, in one.

    Args:
        feature_extractor ([`AffectFeatureExtractor`]): Prepares the audio.
        tokenizer ([`PreTrainedTokenizerBase`], *optional*): Prepares the transcript.
    """

    tokenizer = None

    def __init__(self, feature_extractor, tokenizer=None):
        if tokenizer is None:  # transformers saves the parts that the signature names; here there is one
            self.get_attributes: Any = partial(list, ["feature_extractor"])
            super().__init__(feature_extractor)
        else:
            super().__init__(feature_extractor, tokenizer)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, **kwargs):
        """As in transformers; without a tokenizer in the folder or repository, it is a processor of audio alone."""
        try:
            cached_file(pretrained_model_name_or_path, "tokenizer_config.json", **kwargs)
        except OSError:
            return cls(AutoFeatureExtractor.from_pretrained(pretrained_model_name_or_path, **kwargs))
        return super().from_pretrained(pretrained_model_name_or_path, **kwargs)

    def __call__(
        self,
        audio=None,
        text: str | list[str] | None = None,
        sampling_rate: int | None = None,
        padding: bool | str = True,
        return_tensors: str | None = None,
        audio_kwargs: dict | None = None,
        text_kwargs: dict | None = None,
    ) -> BatchFeature:
        r"""
        Prepare one clip or several, with their transcripts.

        Args:
            audio (*optional*): One clip or a list of clips, each as [`AffectFeatureExtractor`] takes it.
            text (`str` or `list[str]`, *optional*): Their transcripts, in the same order.
            sampling_rate (`int`, *optional*): Of plain arrays, in hertz; by default the feature extractor's own.
            padding, return_tensors: Of both, as in every processor of transformers.
            audio_kwargs (`dict`, *optional*): Further options of the feature extractor.
            text_kwargs (`dict`, *optional*): Further options of the tokenizer, such as `{"truncation": True}`.

        Returns:
            What `forward` of the model takes: `input_values` and `attention_mask` (batch, samples) of the audio,
            `input_ids` and `text_attention_mask` (batch, tokens) of the text.

        Raises:
            ValueError: Neither audio nor text is given, text without a tokenizer, or not one text for each clip; and
                as the feature extractor does.
        """
        if audio is None and text is None:
            raise ValueError("neither audio nor text is given; give what the model reads: audio=..., text=... or both")
        inputs, options = BatchFeature(), {"padding": padding, "return_tensors": return_tensors}
        if audio is not None:
            inputs.update(self.feature_extractor(audio, sampling_rate, **options, **(audio_kwargs or {})))
        if text is not None:
            inputs.update(self._tokens(text, {"padding_side": "right", **options, **(text_kwargs or {})}))
        if audio is not None and text is not None:
            clips, texts = len(inputs["input_values"]), len(inputs["input_ids"])
            if clips != texts:
                raise ValueError(f"{clips} clips and {texts} texts are given; give one text for each clip")
        return inputs

    def _tokens(self, text, options: dict) -> dict:
        if self.tokenizer is None:
            raise ValueError("this processor has no tokenizer, since its model reads audio alone: leave text out")
        texts = [text] if isinstance(text, str) else list(text)
        if not texts or not all(isinstance(entry, str) for entry in texts):
            raise ValueError(f"text is {text!r:.200}; give a transcript or a list of transcripts")
        tokens = self.tokenizer(texts, **options)
        return {"input_ids": tokens["input_ids"], "text_attention_mask": tokens["attention_mask"]}

    @property
    def model_input_names(self) -> list[str]:
        """Names of the inputs that it can make."""
        of_audio = list(self.feature_extractor.model_input_names)
        return of_audio if self.tokenizer is None else [*of_audio, "input_ids", "text_attention_mask"]
