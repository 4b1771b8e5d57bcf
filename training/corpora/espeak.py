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
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np


ESPEAK_SAMPLING_RATE = 22_050

# names and values of espeak-ng/speak_lib.h
_AUDIO_OUTPUT_SYNCHRONOUS, _INITIALIZE_DONT_EXIT = 2, 0x8000
_POS_CHARACTER, _CHARS_UTF8 = 1, 1
_PARAMETERS = {"rate_wpm": 1, "pitch": 3, "pitch_range": 4}


class SpeechRequest(NamedTuple):
    """One utterance to synthesise.

    Args:
        text: The words to speak, in the language of the voice.
        voice: An eSpeak NG voice with an optional variant, such as `"en-us+f3"`.
        rate_wpm: Speaking rate in words per minute, 80..450.
        pitch: Base pitch relative to the voice's own, 0..99; 50 leaves it as it is.
        pitch_range: Extent of the intonation, 0..99; 0 is monotone, 50 leaves it as it is.
    """

    text: str
    voice: str
    rate_wpm: int = 175
    pitch: int = 50
    pitch_range: int = 50


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
        RuntimeError: eSpeak NG does not have a voice, or the synthesiser failed.
    """
    installed_version("espeakng-loader", "espeakng_loader")
    job = json.dumps([seed, requests]).encode()
    done = subprocess.run([sys.executable, __file__], input=job, capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"eSpeak NG failed (exit status {done.returncode}): {done.stderr.decode()[-2000:].strip()}")
    lengths, _, pcm = done.stdout.partition(b"\n")
    return np.split(np.frombuffer(pcm, dtype=np.int16), np.cumsum(json.loads(lengths), dtype=int))[:-1]


def installed_version(package: str, module: str) -> str:
    """Return the version of a package that the demo corpus needs; raise ImportError where it is not installed."""
    if importlib.util.find_spec(module) is None:
        raise ImportError(f'The demo corpus needs {package}, which is missing: pip install "speech-affect[train]"')
    return importlib.metadata.version(package)


def _utterances(seed: int, requests: Sequence[SpeechRequest]) -> Iterator[bytes]:
    """Yield the samples of each request; called once in a process, which initialises the library."""
    import espeakng_loader

    data = Path(espeakng_loader.get_data_path())
    variants = {"", *os.listdir(data / "voices" / "!v")}
    lib = ctypes.CDLL(espeakng_loader.get_library_path())
    c_int, c_uint, c_void_p = ctypes.c_int, ctypes.c_uint, ctypes.c_void_p
    position = (c_uint, c_int, c_uint)
    lib.espeak_Synth.argtypes = [ctypes.c_char_p, ctypes.c_size_t, *position, c_uint, c_void_p, c_void_p]
    # eSpeak NG cuts the path of its data at 160 bytes; relative to the working directory it is always short.
    os.chdir(data.parent)
    rate = lib.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, b".", _INITIALIZE_DONT_EXIT)
    if rate != ESPEAK_SAMPLING_RATE:
        sys.exit(f"espeak_Initialize gave {rate}, not {ESPEAK_SAMPLING_RATE} Hz, with data in {data}")
    lib.espeak_ng_SetRandSeed(ctypes.c_long(seed))
    chunks: list[bytes] = []

    @ctypes.CFUNCTYPE(c_int, c_void_p, c_int, c_void_p)  # the library holds a bare pointer to it
    def collect(samples, sample_count: int, _events) -> int:
        if samples and sample_count > 0:
            chunks.append(ctypes.string_at(samples, 2 * sample_count))
        return 0  # anything else stops the synthesis

    lib.espeak_SetSynthCallback(collect)
    for request in requests:
        # the library itself ignores a variant that it does not know
        if request.voice.partition("+")[2] not in variants or lib.espeak_SetVoiceByName(request.voice.encode()):
            sys.exit(f"there is no voice {request.voice!r}; `espeak-ng --voices` lists all")
        chunks.clear()
        for name, key in _PARAMETERS.items():
            lib.espeak_SetParameter(key, getattr(request, name), 0)
        text = request.text.encode()
        status = lib.espeak_Synth(text, len(text) + 1, 0, _POS_CHARACTER, 0, _CHARS_UTF8, None, None)
        status = status or lib.espeak_Synchronize()
        if status != 0:
            sys.exit(f"espeak_Synth gave error {status} for {request}")
        yield b"".join(chunks)


def _main() -> None:
    """Read a job as JSON from stdin; write the lengths as one line of JSON, then all samples, to stdout."""
    seed, requests = json.load(sys.stdin.buffer)
    utterances = list(_utterances(seed, [SpeechRequest(*fields) for fields in requests]))
    sys.stdout.buffer.write(json.dumps([len(pcm) // 2 for pcm in utterances]).encode() + b"\n")
    sys.stdout.buffer.writelines(utterances)


if __name__ == "__main__":
    _main()
