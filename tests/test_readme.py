"""Every block of README.md and of the READMEs of modeling/, training/ and model_cards/ runs, on tiny parts."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import soundfile

from .readme_blocks import ASKED_FOR, BLOCKS, ROOT, TEXTS, block, module_arguments, run_arguments, run_python


@pytest.fixture
def small(tmp_path, figures_are_empty):
    """Arguments that make any run small; figures are not drawn."""
    systems = "{mfb: {role: baseline, branches: [mfb]}}"
    head = "{conv_channels: 8, gru_hidden_size: 8, embedding_size: 8}"
    options = {"systems": systems, "head": head, "seeds": "0", "num_train_epochs": "1", "bootstrap_samples": "50"}
    options |= {"cache_dir": str(tmp_path / "cache"), "disable_tqdm": "true"}
    return [word for name, value in options.items() for word in (f"--{name}", value)]


def test_every_block_is_run_by_a_test():
    source = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*readme*.py"))
    for name, texts in BLOCKS.items():
        for text in texts:
            [asked] = [part for part in ASKED_FOR if part in text]
            assert source.count(asked.strip()) > 1, f"{name}: no test runs the block with {asked!r}"
    assert len(TEXTS["README.md"].splitlines()) <= 150


def test_links_lead_to_files():
    for name, text in TEXTS.items():
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
            assert target.startswith("https://") or (ROOT / name).parent.joinpath(target).exists(), (name, target)


def test_the_two_commands_for_a_fresh_machine():
    job = block("accelerate launch training/run.py\n")
    assert run_arguments(job) == []  # what the demo recipe's own tests run
    assert block("[train,dev]").strip() == 'pip install -e ".[train,dev]" -e modeling/speech_affect_onnx'
    assert block("pytest").strip() == "pytest -n auto --dist loadfile"


def test_msp_podcast(small, tiny_corpus, tmp_path, monkeypatch):
    from speech_affect_training.run import main

    monkeypatch.chdir(tmp_path)
    arguments = run_arguments(block("outputs/msp"))
    arguments[arguments.index("--data_dir") + 1] = str(tiny_corpus)
    assert main([*arguments, *small])["corpus"]["splits"]["train"]["clips"] == 24
    assert (tmp_path / "outputs/msp/results.md").is_file()


def test_a_table_of_your_own(small, tiny_corpus, tmp_path, monkeypatch):
    from speech_affect_training.run import main

    monkeypatch.chdir(tmp_path)
    lines = ["audio,arousal,valence,dominance,speaker"]
    for index, path in enumerate(sorted((tiny_corpus / "Audios").iterdir())):
        shutil.copy(path, tmp_path / path.name)
        lines.append(f"{path.name},{index},{100 - index},{index * 7 % 100},speaker{index % 10}")
    (tmp_path / "ratings.csv").write_text("\n".join(lines) + "\n")
    results = main([*run_arguments(block("--data_dir ratings.csv")), *small])
    assert results["corpus"]["label_range"] == [0, 100]
    assert (tmp_path / "outputs/own/mfb/model.safetensors").is_file()


def test_several_corpora(small, tiny_corpus, tmp_path, monkeypatch):
    from speech_affect_training.run import main

    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_corpus, tmp_path / "podcast")
    shutil.copytree(tiny_corpus / "Audios", tmp_path / "acted")
    lines = ["audio,actor,intended,language"]
    for index, path in enumerate(sorted((tmp_path / "acted").iterdir())[:24]):
        samples, rate = soundfile.read(path)
        soundfile.write(path, samples[::-1], rate)  # other audio
        lines.append(f"{path.name},{['anna', 'bert', 'carl', 'dora'][index % 4]},{'AHSO'[index // 4 % 4]},de")
    (tmp_path / "acted" / "clips.csv").write_text("\n".join(lines) + "\n")
    recipe = block("corpora:")
    assert recipe.count("folds: 3\n") == 1  # three more trainings; others test them
    (tmp_path / "own.yaml").write_text(recipe.replace("folds: 3\n", ""))
    results = main(["--recipe", "own.yaml", "--data_dir", str(tmp_path), *small])
    assert results["corpus"]["name"] == "podcast, acted" and results["corpus"]["facts"]["language"] == ["de", "en"]
    acted = results["corpus"]["corpora"]["acted"]
    assert sum(split["clips"] for split in acted["splits"].values()) == 24 and acted["languages"] == ["de"]
    left_out = tmp_path / "outputs/own/jobs/mfb/without_acted/seed0"
    assert (left_out / "predictions_test1.csv").read_text().count("acted/MSP") == 24
    assert json.loads((left_out / "settings.json").read_text())["config"]["label_range"] == [1, 7]


def test_parquet(tiny_corpus, tmp_path, monkeypatch):
    from speech_affect_training.corpora.parquet import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    arguments = module_arguments(block("--output msp-parquet"), "speech_affect_training.corpora.parquet")
    arguments[arguments.index("--data_dir") + 1] = str(tiny_corpus)
    main(arguments)
    converted = block('load_dataset("msp-parquet"') + "print(len(train))\n"
    unconverted = block("streaming=True)").replace("/data/MSP-PODCAST-Publish-1.11", str(tiny_corpus))
    assert run_python(f"{converted}\n{unconverted}print(len(list(train)))\n", tmp_path) == ["24", "24"]


def test_recipes_and_settings_on_the_command_line():
    from speech_affect_training.settings.recipe import parse_arguments

    run, training = parse_arguments(run_arguments(block("--recipe demo")))
    assert (run.seeds, training.learning_rate, list(run.systems)) == ([0, 1, 2], 5e-4, ["mfb", "fusion"])
    run, training = parse_arguments(run_arguments(block("--recipe paper_table")))  # test_paper_table.py runs it
    assert {"mfb", "text", "fusion", "fusion_mtl", "student_kd"} <= set(run.systems)
    assert training.output_dir == "outputs/paper_table"
    run, _ = parse_arguments(run_arguments(block("--recipe similar_papers")))  # as does test_similar_papers.py
    assert run.folds == 4 and run.data_dir == "/data/corpora" and "student_languages" in run.systems
    of_licence_holders = block("--recipe finetune_w2v2 --data_dir")
    for command, encoder in (
        (of_licence_holders, "wav2vec2"),
        (of_licence_holders.replace("finetune_w2v2", "lora_whisper"), "whisper"),
        (block("--recipe emodb_finetune"), "whisper"),
    ):
        run, training = parse_arguments(run_arguments(command))
        assert {name for spec in run.systems.values() for name in spec.train_encoders} == {encoder}
    run, _ = parse_arguments(run_arguments(block("--unlabelled_dir AUDIO\n")))
    assert list(run.corpora) == ["emodb", "voices"] and run.systems["student_kd"].pretraining.unlabelled
    run, _ = parse_arguments(run_arguments(block("student_kd_classes")))
    assert list(run.systems) == ["fusion", "student", "student_kd_classes"] and (run.seeds, run.folds) == ([0], 5)


def test_the_command_that_streams(tmp_path):
    from speech_affect_training.settings.recipe import parse_arguments

    student = "{role: student, teacher: a, unlabelled: true}"
    (tmp_path / "mine.yaml").write_text(f"systems: {{a: {{role: teacher}}, b: {student}}}")
    command = block("--unlabelled_stream").replace("mine.yaml", str(tmp_path / "mine.yaml"))
    run, training = parse_arguments(run_arguments(command))
    assert run.unlabelled_stream == ["/speech/*.tar", "hub:openslr/librispeech_asr:clean/train.360"]
    assert (run.unlabelled_share, run.teacher_dtype, training.per_device_train_batch_size) == (0.75, "bfloat16", 64)


def test_the_recipe_of_the_figures(small, tiny_corpus, tiny_encoder, tmp_path, monkeypatch):
    from speech_affect_training.run import main
    from speech_affect_training.settings.recipe import parse_arguments

    monkeypatch.chdir(tmp_path)
    job, text = block("--recipe emodb --").strip().split("\n")
    assert re.fullmatch(r"pip install --no-deps [a-z0-9-]+", text)
    arguments = run_arguments(job)
    parsed, _ = parse_arguments(arguments)
    assert set(parsed.cross_validated) <= set(parsed.systems) and len(parsed.cross_validated) == 6
    arguments[arguments.index("--data_dir") + 1] = str(tiny_corpus)
    encoders = json.dumps({"whisper": {"id": str(tiny_encoder)}})
    fewer = ["--encoders", encoders, "--folds", "3", "--cross_validated", "mfb", "--conditions", "{}"]
    results = main([*arguments, *small, *fewer, "--max_steps", "2", "--eval_steps", "1", "--save_steps", "1"])
    assert list(results["systems"][0]["splits"]) == ["test1", "test2", "cv3"]
    assert (tmp_path / "outputs/emodb/probe_whisper_layers_test1.png").is_file()


def test_to_the_hub_by_hand(tmp_path, monkeypatch):
    from speech_affect_training import publish
    from speech_affect_training.hub.push import Pushed

    pushed = []
    for name in ("push_checkpoint", "push_metric", "push_dataset_card", "push_space"):

        def push(*arguments, name=name):
            pushed.append((name, *(getattr(argument, "repo_id", argument) for argument in arguments)))
            return Pushed("user/name", "https://huggingface.co/user/name", "0123456789", private=True)

        monkeypatch.setattr(publish, name, push)
    monkeypatch.chdir(tmp_path)
    for line in block("--dataset_card").strip().splitlines():
        assert "(private, commit 0123456)" in publish.main(shlex.split(line, comments=True)[2:])
    assert pushed == [
        ("push_checkpoint", "outputs/demo/student_kd", "user/demo-student_kd", None),
        ("push_metric", "user/ccc"),
        ("push_dataset_card", "user/msp-podcast"),
        ("push_space", "user/page", "user/demo-student_kd", None),
    ]


def test_models_that_come_with_the_package(monkeypatch):
    from speech_affect_training import publish
    from speech_affect_training.settings.recipe import parse_arguments

    first, *others = block("--release student").strip().splitlines()
    run, training = parse_arguments(run_arguments(first))
    assert list(run.systems) == ["fusion", "student", "student_kd", "student_nano"] and run.seeds == [0, 1, 2]
    made = []
    monkeypatch.setattr(publish, "release_checkpoint", lambda *given: made.append(tuple(map(str, given))))
    for line in others:
        publish.main(shlex.split(line)[2:])
    models, folder = str(ROOT / "model_cards"), training.output_dir
    names = {"student": "student_kd", "student_nano": "student_nano"}
    assert made == [(f"{folder}/{system}", name, models) for name, system in names.items()]


def test_a_card_by_hand(tmp_path):
    from speech_affect_training.reports.model_card import main

    arguments = module_arguments(block("reports.model_card"), "speech_affect_training.reports.model_card")
    arguments[arguments.index("--results") + 1] = str(ROOT / "model_cards/results/emodb/results.json")
    arguments[arguments.index("--output") + 1] = str(tmp_path / "card.md")
    assert "# student_kd" in main(arguments).read_text()


def test_figures_of_a_large_table_are_those_of_the_results(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tests"))
    from robustness.large_table import table_sentence

    result = json.loads((ROOT / "tests/robustness/results/large_table.json").read_text())
    assert result["rows"] == sum(result["splits"].values()) == 10_000_000
    assert table_sentence(result) in TEXTS["training/README.md"]
    command = ["python", "tests/robustness/large_table.py", "--rows", "10000000"]  # tested elsewhere, on fewer rows
    assert shlex.split(block("large_table.py")) == command
