"""Parameters of the students, and bytes of their exported files."""

from __future__ import annotations

from .models import exported, student
from .report import Result
from .settings import Settings


MOST_NANO_PARAMETERS, MOST_NANO_BYTES = 72_000, 100_000


def run(settings: Settings, machine: dict) -> Result:
    """Rows `student_fp32`, `student_int8`, `nano_fp32` and `nano_int8`: nothing here is timed."""
    result = Result({})
    for name in ("student", "nano"):
        model = student(nano=name == "nano")
        parameters = sum(parameter.numel() for parameter in model.parameters())
        for precision, width in (("fp32", 4), ("int8", 1)):
            suffix = "_int8" if precision == "int8" else ""
            path = exported(model, settings.folder / f"{name}{suffix}.onnx", int8=precision == "int8")
            size = path.stat().st_size
            result.rows[f"{name}_{precision}"] = {
                "parameters": parameters,
                "bytes": size,
                # the weights alone
                "least_bytes": parameters * width,
                "times_least": size / (parameters * width),
            }
    nano = result.rows["nano_int8"]
    result.add_target("nano_parameters", "nano: parameters", nano["parameters"], at_most=MOST_NANO_PARAMETERS)
    result.add_target("nano_bytes", "nano in int8: bytes", nano["bytes"], at_most=MOST_NANO_BYTES)
    return result
