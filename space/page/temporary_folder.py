"""A folder of this process for what visitors send."""

import atexit
import os
import shutil
import signal
import tempfile


def use_own_temporary_folder() -> None:
    """Keep uploads in a folder of this process, which is deleted when the process ends."""
    if os.environ.get("GRADIO_TEMP_DIR"):
        return
    folder = os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp(prefix="speech_affect_")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)

    def end(*_):
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)  # without waiting for what is being computed

    signal.signal(signal.SIGTERM, end)
