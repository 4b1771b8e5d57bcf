"""The list of what does not apply is short, each of its kinds is met, and a test that passes after all is noticed."""

import re
import unittest
from unittest import TestCase, mock

import pytest

from . import not_applicable, test_transformers_fusion, test_transformers_student


CLASSES = [
    value
    for module in (test_transformers_fusion, test_transformers_student)
    for value in vars(module).values()
    if isinstance(value, type) and issubclass(value, TestCase) and value is not TestCase
]


def test_at_most_six_kinds():
    assert len(CLASSES) == 7 and len(not_applicable.KINDS) <= 6


@pytest.mark.parametrize("kind", not_applicable.KINDS)
def test_every_listed_pattern_names_tests(kind):
    classes = [each for each in CLASSES if re.fullmatch(kind.classes, each.__name__)]
    for pattern in kind.tests.split("|"):
        assert all(any(re.fullmatch(pattern, name) for name in dir(each)) for each in classes), pattern
    assert classes


def test_a_listed_test_that_passes_is_an_error():
    class Peers(TestCase):
        def test_passes(self):
            pass

        def test_fails(self):
            with self.subTest("a part of it"):
                self.fail()

    result = unittest.TestResult()
    with mock.patch.object(not_applicable, "KINDS", [not_applicable.Kind("the reason", "test_(passes|fails)")]):
        not_applicable.leave_out(Peers)
    for name in ("test_passes", "test_fails"):
        Peers(name).run(result)
    assert [reason for _, reason in result.skipped] == ["the reason"] and not result.errors
    [(failed, message)] = result.failures
    assert failed.id().endswith("test_passes") and "take it off the list of what does not apply" in message
