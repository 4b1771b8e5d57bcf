"""`python -m speech_affect`, the same as the command `speech-affect`."""

import sys

from .cli.main import main


if __name__ == "__main__":
    sys.exit(main())
