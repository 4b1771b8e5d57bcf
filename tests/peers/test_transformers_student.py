"""Common tests of transformers over the student, with and without pitch and second tasks."""

from unittest import TestCase

from speech_affect import AffectStudentConfig, AffectStudentModel

from .common_model_tests import SECOND_TASKS, CommonModelTests


class Student:
    config_class = AffectStudentConfig
    all_model_classes = (AffectStudentModel,)


class StudentTest(Student, CommonModelTests, TestCase):
    settings = {}  # noqa: RUF012


class StudentPitchTest(Student, CommonModelTests, TestCase):
    settings = {"branch": {"source": "mfb_f0"}}  # noqa: RUF012


class StudentSecondTasksTest(Student, CommonModelTests, TestCase):
    settings = SECOND_TASKS
