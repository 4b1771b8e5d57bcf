"""Costs at scale, against numbers worked out by hand."""

import json
import re

import cost_model
import pytest
import torch
from cost_model import MSP_PODCAST, UNLABELLED, Assumptions, Workload, cost, main
from transformers import AutoConfig

from speech_affect import AffectEncoderConfig


def test_a_row_by_hand():
    # 100 h are 360 000 s: at 50 frames a second 18 million of 512 x 2 bytes; at 100, 36 million of 40 x 4 bytes
    given = Assumptions(encoder_hours_per_hour=25, student_clips_per_s=50, encoder_width=512, efficiency=0.5)
    workload = Workload("by hand", 100, 72_000, 5)
    row = cost(workload, 1, given)
    assert row == pytest.approx(
        {
            "workload": "by hand",
            "devices": 1,
            "extraction_h": 4.0,
            "training_h": 2.0,  # 360 000 clips at 50 a second are 7200 s
            "encoder_frames_gb": 18.432,
            "mel_frames_gb": 5.76,
        }
    )
    three = cost(workload, 3, given)  # 1 + 2 * 0.5 times as fast
    assert (three["extraction_h"], three["training_h"]) == pytest.approx((2.0, 1.0))
    assert three["encoder_frames_gb"] == row["encoder_frames_gb"]


def test_frames_of_the_corpus_at_hubert_large():
    row = cost(MSP_PODCAST, 1, Assumptions(encoder_hours_per_hour=1, student_clips_per_s=1))
    assert row["encoder_frames_gb"] == pytest.approx(400 * 3600 * 50 * 1024 * 2 / 1e9) == pytest.approx(147.456)


def test_the_table_and_the_file(tmp_path, capsys):
    speeds = ["--encoder_hours_per_hour", "2000", "--student_clips_per_s", "5000"]
    argv = [*speeds, "--devices", "1", "4", "--efficiency", "1"]
    rows = main([*argv, "--output", str(tmp_path / "cost.json")])
    assert [(row["workload"], row["devices"]) for row in rows] == [
        (workload.name, devices) for workload in (MSP_PODCAST, UNLABELLED) for devices in (1, 4)
    ]
    assert [row["extraction_h"] for row in rows] == [0.2, 0.05, 500, 125]
    written = json.loads((tmp_path / "cost.json").read_text())
    assert written["rows"] == rows and written["assumptions"]["source"] == "given"
    shown = capsys.readouterr().out
    assert "efficiency: 1.0" in shown and "encoder_hours_per_hour: 2000.0" in shown and "source: given" in shown
    assert "500.0" in shown.splitlines()[-2] and "125.0" in shown.splitlines()[-1]


@pytest.mark.parametrize(
    "argv, message",
    [
        (["--encoder_hours_per_hour", "0"], "encoder_hours_per_hour is 0.0; give a number above 0"),
        (["--encoder_hours_per_hour", "1", "--efficiency", "2"], "efficiency is 2.0; give a share"),
        (["--devices", "0"], r"--devices are \[0\]; give 1 or more"),
    ],
)
def test_what_makes_no_sense_is_refused(argv, message, capsys):
    with pytest.raises(SystemExit):
        main(["--student_clips_per_s", "1", *argv])
    assert re.search(message, capsys.readouterr().err)


def test_throughput_is_counted_by_the_clock(monkeypatch):
    clock = iter([0.0, 0.5, 1.5, 2.5, 4.0])
    monkeypatch.setattr(cost_model.time, "perf_counter", lambda: next(clock))
    # one call to warm up, then two within 2 s; 4 s went by in all
    assert cost_model._rate(lambda: 10, 2.0) == pytest.approx(20 / 4.0)


def test_it_measures_what_is_not_given(monkeypatch, capsys):
    monkeypatch.setattr(cost_model, "measure_encoder", lambda *_: 123.0)
    monkeypatch.setattr(cost_model, "measure_student", lambda *_: 45.0)
    main([])
    shown = capsys.readouterr().out
    assert "encoder_hours_per_hour: 123.0" in shown and "student_clips_per_s: 45.0" in shown
    assert "measured on one" in shown and "whisper-tiny" in shown


def test_measuring_runs(tiny_encoder):
    encoder = AffectEncoderConfig(backbone=AutoConfig.from_pretrained(tiny_encoder), pad_to_window=False)
    assert cost_model.measure_encoder(encoder, torch.device("cpu"), 0.01) > 0
    assert cost_model.measure_student(2, torch.device("cpu"), 0.01) > 0
