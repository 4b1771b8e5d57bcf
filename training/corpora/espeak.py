"""Speech from eSpeak NG, the synthesiser in the wheel `espeakng-loader`, called through ctypes.

The library keeps state from one utterance to the next (the phase of the pitch flutter, the tail of the echo, a random
generator seeded from the clock), and `espeak_Terminate` does not clear it. So every call of `synthesize` runs in a
fresh process with a fixed seed: the same requests give the same samples, and a crash of the library stays there.
"""

import ctypes
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np


ESPEAK_SAMPLING_RATE = 22_050

# names and values of espeak-ng/speak_lib.h
_AUDIO_OUTPUT_SYNCHRONOUS, _INITIALIZE_DONT_EXIT = 2, 0x8000
_POS_CHARACTER, _CHARS_UTF8 = 1, 1
_PARAMETERS = {"rate_wpm": 1, "pitch": 3, "pitch_range": 4}
_RANGES = {"rate_wpm": (80, 450), "pitch": (0, 99), "pitch_range": (0, 99)}


@dataclass(frozen=True)
class SpeechRequest:
    """One utterance to synthesise.

    Args:
        text: The words to speak, in the language of the voice.
        voice: An eSpeak NG voice with an optional variant, such as `"en-us+f3"`.
        rate_wpm: Speaking rate in words per minute, 80..450.
        pitch: Base pitch relative to the voice's own, 0..99; 50 leaves it as it is.
        pitch_range: Extent of the intonation, 0..99; 0 is monotone, 50 leaves it as it is.

    Raises:
        ValueError: The text is empty or a number lies outside its range.
    """

    text: str
    voice: str
    rate_wpm: int = 175
    pitch: int = 50
    pitch_range: int = 50

    def __post_init__(self):
        if not self.text.strip():
            raise ValueError("The text to speak is empty; give at least one word.")
        for name, (low, high) in _RANGES.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}={getattr(self, name)} is outside {low}..{high}, what eSpeak NG allows.")


def synthesize(requests: Sequence[SpeechRequest], *, seed: int = 0) -> list[np.ndarray]:
    """Speak every request, in order, in one fresh process.

    Args:
        requests: Texts, voices and parameters.
        seed: Of the synthesiser's own random generator, 0..2**31 - 1.

    Returns:
        One int16 array `(samples,)` per request, mono, at `ESPEAK_SAMPLING_RATE` (22,050 Hz). The same requests and
        seed give the same samples.

    Raises:
        ImportError: `espeakng-loader` is not installed.
        ValueError: eSpeak NG does not have a voice, or the seed is out of range.
        RuntimeError: The synthesiser failed.
    """
    installed_version("espeakng-loader", "espeakng_loader")
    if not 0 <= seed < 2**31:
        raise ValueError(f"seed={seed} is outside 0..2**31 - 1, what eSpeak NG allows.")
    job = json.dumps({"seed": seed, "requests": [asdict(request) for request in requests]})
    done = subprocess.run([sys.executable, __file__], input=job.encode(), capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"eSpeak NG failed (exit status {done.returncode}): {done.stderr.decode()[-2000:].strip()}")
    head, _, pcm = done.stdout.partition(b"\n")
    answer = json.loads(head)
    if "unknown_voice" in answer:
        raise ValueError(f"eSpeak NG has no voice {answer['unknown_voice']!r}; `espeak-ng --voices` lists all.")
    ends = np.cumsum(answer["lengths"], dtype=int)
    return np.split(np.frombuffer(pcm, dtype=np.int16), ends)[:-1]


def installed_version(package: str, module: str) -> str:
    """Return the version of a package that the demo corpus needs; raise ImportError where it is not installed."""
    if importlib.util.find_spec(module) is None:
        raise ImportError(f'The demo corpus needs {package}, which is missing: pip install "speech-affect[train]"')
    return importlib.metadata.version(package)


class _Worker:
    """The library inside the fresh process, initialised once."""

    def __init__(self, seed: int):
        import espeakng_loader

        data = Path(espeakng_loader.get_data_path())
        self.variants = set(os.listdir(data / "voices" / "!v"))
        self.lib = ctypes.CDLL(espeakng_loader.get_library_path())
        c_int, c_uint, c_void_p = ctypes.c_int, ctypes.c_uint, ctypes.c_void_p
        position = (c_uint, c_int, c_uint)
        self.lib.espeak_Synth.argtypes = [ctypes.c_char_p, ctypes.c_size_t, *position, c_uint, c_void_p, c_void_p]
        # eSpeak NG cuts the path of its data at 160 bytes; relative to the working directory it is always short.
        os.chdir(data.parent)
        rate = self.lib.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, b".", _INITIALIZE_DONT_EXIT)
        if rate != ESPEAK_SAMPLING_RATE:
            raise RuntimeError(f"espeak_Initialize gave {rate}, not {ESPEAK_SAMPLING_RATE} Hz, with data in {data}")
        self.lib.espeak_ng_SetRandSeed(ctypes.c_long(seed))
        self.chunks: list[bytes] = []
        signature = ctypes.CFUNCTYPE(c_int, c_void_p, c_int, c_void_p)
        self.callback = signature(self._collect)  # kept here: the library holds a bare pointer to it
        self.lib.espeak_SetSynthCallback(self.callback)

    def _collect(self, samples, sample_count: int, _events) -> int:
        if samples and sample_count > 0:
            self.chunks.append(ctypes.string_at(samples, 2 * sample_count))
        return 0  # anything else stops the synthesis

    def set_voice(self, voice: str) -> bool:
        """Set the voice and return whether it exists; the library itself ignores a variant that it does not know."""
        _, _, variant = voice.partition("+")
        known_variant = not variant or variant in self.variants
        return known_variant and self.lib.espeak_SetVoiceByName(voice.encode()) == 0

    def speak(self, request: SpeechRequest) -> bytes:
        self.chunks.clear()
        for name, key in _PARAMETERS.items():
            self.lib.espeak_SetParameter(key, getattr(request, name), 0)
        text = request.text.encode()
        status = self.lib.espeak_Synth(text, len(text) + 1, 0, _POS_CHARACTER, 0, _CHARS_UTF8, None, None)
        status = status or self.lib.espeak_Synchronize()
        if status != 0:
            raise RuntimeError(f"espeak_Synth gave error {status} for {request}")
        return b"".join(self.chunks)


def _main() -> None:
    """Read a job as JSON from stdin; write one line of JSON and then the samples of all utterances to stdout."""
    job = json.load(sys.stdin.buffer)
    worker = _Worker(job["seed"])
    utterances = []
    for request in (SpeechRequest(**fields) for fields in job["requests"]):
        if not worker.set_voice(request.voice):
            sys.stdout.buffer.write(json.dumps({"unknown_voice": request.voice}).encode() + b"\n")
            return
        utterances.append(worker.speak(request))
    sys.stdout.buffer.write(json.dumps({"lengths": [len(pcm) // 2 for pcm in utterances]}).encode() + b"\n")
    sys.stdout.buffer.writelines(utterances)


if __name__ == "__main__":
    _main()
