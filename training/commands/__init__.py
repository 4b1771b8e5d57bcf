"""Commands of `speech-affect`. They are listed where training is not installed: what it needs is imported in `run`."""
