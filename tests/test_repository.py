"""The files by which others check, format and cite this repository say what the package says."""

import re
import sys
from pathlib import Path

import yaml


if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read_yaml(name: str) -> dict:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def test_the_workflow_runs_the_gate_on_supported_versions_of_python():
    gate = read_yaml(".github/workflows/ci.yml")["jobs"]["gate"]
    versions = gate["strategy"]["matrix"]["python-version"]
    assert min(versions, key=lambda version: int(version.split(".")[1])) == PROJECT["requires-python"].lstrip(">=")
    assert gate["steps"][-1] == {"run": ".ci/run"} and (ROOT / ".ci/run").is_file()


def test_pre_commit_uses_the_lowest_ruff_that_the_package_allows():
    [repository] = read_yaml(".pre-commit-config.yaml")["repos"]
    [floor] = [name for name in PROJECT["optional-dependencies"]["dev"] if name.startswith("ruff")]
    assert repository["rev"].lstrip("v") == re.fullmatch(r"ruff>=([\d.]+)", floor)[1]
    assert [hook["id"] for hook in repository["hooks"]] == ["ruff-check", "ruff-format"]


def test_the_citation_names_the_package_and_the_paper():
    citation = read_yaml("CITATION.cff")
    assert citation["title"] == PROJECT["name"] and citation["version"] == PROJECT["version"]
    # that of the code; a citation file cannot say that the models have another one
    assert citation["license"] == PROJECT["license"].split(" AND ")[0]
    [paper] = citation["references"]
    assert paper["url"] == "https://arxiv.org/abs/2207.03334"
    assert len(paper["authors"]) == 5
