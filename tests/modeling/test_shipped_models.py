"""The models in model_cards/: they load, are what their results say, and agree with their ONNX files."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoModelForAudioClassification, pipeline

from speech_affect import AffectStudentModel, released
from speech_affect.onnx import OnnxAffect
from speech_affect_training.metrics.ccc.concordance import concordance_correlation

from .conftest import talk


ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "model_cards" / "results" / "voices" / "results.json"
SPEECH = (ROOT / "../shared/corpora/emodb-rated").resolve()
SYSTEMS = {"student": "student_kd", "student_nano": "student_nano"}
FILES = {"README.md", "config.json", "model.safetensors", "processor_config.json", "run.json"}
FILES |= {"model_int8.onnx", "model_int8_streaming.onnx"}


@pytest.fixture(scope="module")
def results() -> dict:
    systems = json.loads(RESULTS.read_text())["systems"]
    return {name: next(s for s in systems if s["name"] == system) for name, system in SYSTEMS.items()}


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_folder_is_whole_small_and_of_its_results(name, results):
    folder = released(name)
    assert folder == ROOT / "model_cards" / name and {path.name for path in folder.iterdir()} == FILES
    weights = (folder / "model.safetensors").stat().st_size
    assert weights < {"student": 2.3e6, "student_nano": 3e5}[name]
    assert (folder / "model_int8.onnx").stat().st_size < 0.45 * weights
    model = AutoModelForAudioClassification.from_pretrained(folder)
    assert type(model) is AffectStudentModel and model.num_parameters() == results[name]["parameters"]
    run = json.loads((folder / "run.json").read_text())
    assert run["fingerprint"] == results[name]["checkpoint"]["fingerprint"]
    texts = "".join((folder / file).read_text() for file in ("README.md", "run.json", "config.json"))
    assert "license: cc-by-nc-sa-4.0" in texts and not re.search(r"/(work|tmp|root|home)/", texts)


@pytest.mark.parametrize("name", SYSTEMS)
def test_torch_and_onnx_agree(name):
    folder, clip = released(name), talk(2.7)
    in_torch = pipeline("speech-emotion-regression", model=str(folder))(clip)
    in_onnx = OnnxAffect(folder / "model_int8.onnx")(clip)
    assert in_onnx.pop("emotions") == pytest.approx(in_torch.pop("emotions"), abs=0.05)
    assert in_onnx == pytest.approx(in_torch, abs=0.1)
    assert all(1 <= in_torch[dimension] <= 7 for dimension in ("activation", "valence", "dominance"))


@pytest.mark.skipif(not SPEECH.is_dir(), reason="the corpus shared/corpora/emodb-rated is not beside the repository")
@pytest.mark.parametrize("name", SYSTEMS)
def test_the_figures_of_a_card_are_what_users_get(name, results):
    """The clips of the speakers that no model was trained on, from their files through the pipeline."""
    rows = [line.split(",") for line in (SPEECH / "Labels" / "labels_consensus.csv").read_text().splitlines()]
    place = {column: index for index, column in enumerate(rows[0])}
    tested = [row for row in rows[1:] if row[place["Split_Set"]] == "Test1"]
    files = [str(SPEECH / "Audios" / f"{Path(row[place['FileName']]).stem}.ogg") for row in tested]
    values = pipeline("speech-emotion-regression", model=str(released(name)))(files, batch_size=16)
    got = np.array([[value["activation"], value["valence"]] for value in values])
    rated = np.array([[float(row[place[column]]) for column in ("EmoAct", "EmoVal")] for row in tested])
    scores = results[name]["splits"]["test1"]
    seed = results[name]["seeds"].index(results[name]["checkpoint"]["seed"])
    expected = [scores["ccc_per_seed"][dimension][seed] for dimension in ("activation", "valence")]
    np.testing.assert_allclose(concordance_correlation(got, rated), expected, atol=0.005)
