"""The blocks of README.md and of the READMEs of modeling/, training/ and model_cards/, and how to run them."""

import re
import shlex
import subprocess
import sys
from pathlib import Path


ROOT = Path(__file__).resolve().parents[1]
FILES = ("README.md", "modeling/README.md", "training/README.md", "model_cards/README.md")
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in FILES}
BLOCKS = {name: re.findall(r"^```\w+\n(.*?)^```", text, re.MULTILINE | re.DOTALL) for name, text in TEXTS.items()}
# what a block holds -> it is taken by the test that asks for it; a block that no test asks for fails the first test
ASKED_FOR = (
    "accelerate launch training/run.py\n",
    'released("student"))("speech.wav")',
    "predict recordings/",
    "--output talk.TextGrid",
    "outputs/msp",
    "--data_dir ratings.csv",
    "speech-affect serve",
    "[train,dev]",
    "pytest",
    "curve = estimate(",
    "AutoModel, AutoProcessor\n",
    "stream.push(chunk)",
    "DataCollatorWithPadding",
    "speech-affect export",
    "import OnnxAffect",
    "pip install ./modeling/speech_affect_onnx",
    "onnxruntime.InferenceSession(",
    "ort.InferenceSession.create(",
    "--recipe demo",
    "--data-dir /data/MSP",
    "--data-dir ratings.csv",
    "odyssey:",
    "--train_on podcast",
    "--recipe paper_table",
    "--recipe similar_papers",
    "--recipe finetune_w2v2 --data_dir",
    "benchmarks/finetuning.py",
    "--output msp-parquet",
    'load_dataset("msp-parquet"',
    "streaming=True)",
    "corpora:",
    "--unlabelled_dir AUDIO\n",
    "--unlabelled_stream",
    "student_kd_classes",
    "--release student",
    "large_table.py",
    "--dataset_card",
    "--recipe emodb --",
    "--recipe emodb_finetune",
    "reports.model_card",
    "speech-affect adapt",
    "benchmarks/adapting.py",
)
NUMBER = r"\d\.\d+"


def block(containing: str) -> str:
    """The only block of all READMEs that holds this text."""
    assert containing in ASKED_FOR
    found = [text for texts in BLOCKS.values() for text in texts if containing in text]
    assert len(found) == 1, f"{len(found)} blocks hold {containing!r}"
    return found[0]


def run_arguments(text: str) -> list[str]:
    """Arguments of training/run.py in a command."""
    words = shlex.split(text.replace("\\\n", " "))
    return words[words.index("training/run.py") + 1 :]


def module_arguments(text: str, module: str) -> list[str]:
    """Arguments of `python -m MODULE` in a command."""
    words = shlex.split(text)
    assert words[:3] == ["python", "-m", module]
    return words[3:]


def run_python(text: str, folder: Path) -> list[str]:
    """Lines that a block prints when it runs in a folder."""
    done = subprocess.run([sys.executable, "-c", text], cwd=folder, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()
