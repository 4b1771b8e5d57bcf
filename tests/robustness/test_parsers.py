"""Parsers of ours read anything, or refuse it as they promise; `fuzz.py` tries as long as one likes."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


HERE = Path(__file__).resolve().parent
with pytest.MonkeyPatch.context() as patch:  # `robustness.NAME`, as fuzz.py has them
    patch.syspath_prepend(str(HERE.parent))
    from robustness.parsers import NAMES, STUMBLING, Parser, all_parsers, is_refused

EDIT = st.tuples(
    st.floats(0, 1), st.sampled_from([0, 1, 4, 30]), st.binary(max_size=6) | st.sampled_from([b"[", b"{"])
)


@pytest.fixture(scope="module")
def parsers(tmp_path_factory):
    return all_parsers(tmp_path_factory.mktemp("parsed"))


def test_every_parser_is_named_here(parsers):
    assert set(parsers) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_whole_is_read(parsers, name):
    for seed in parsers[name].seeds:
        assert not is_refused(parsers[name], seed)
        assert parsers[name].parse(seed) or name == "audio"


@pytest.mark.parametrize("name", NAMES)
def test_what_has_been_stumbled_on_before(parsers, name):
    for content in STUMBLING:
        is_refused(parsers[name], content)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_is_damaged_is_read_or_refused(parsers, name, data):
    content = bytearray(data.draw(st.sampled_from(parsers[name].seeds)))
    for place, length, put in data.draw(st.lists(EDIT, min_size=1, max_size=5)):
        start = int(place * len(content))
        content[start : start + length] = put
    is_refused(parsers[name], bytes(content))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(content=st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
def test_what_is_anything_is_read_or_refused(parsers, name, content):
    is_refused(parsers[name], content)


def test_a_parser_that_stumbles_is_noticed(parsers):
    with pytest.raises(UnicodeDecodeError):
        is_refused(Parser(bytes.decode, (KeyError,)), b"\xff")
    assert is_refused(Parser(bytes.decode, (ValueError,)), b"\xff") and not is_refused(Parser(bytes.decode, ()), b"a")


def test_the_search_says_what_it_needs():
    command = [sys.executable, str(HERE / "fuzz.py"), "audio", "--seconds", "0"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "--seconds is 0; it is at least 1" in done.stderr
    done = subprocess.run([*command[:2], "moon"], capture_output=True, text=True)
    assert done.returncode == 2 and "invalid choice: 'moon'" in done.stderr
