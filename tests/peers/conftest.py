"""Marks that the common tests of transformers bear, for `--strict-markers`."""

MARKS = (
    "accelerate_tests",
    "flash_attn_test",
    "flash_attn_3_test",
    "flash_attn_4_test",
    "is_pipeline_test",
    "slow",
    "torch_compile_test",
)


def pytest_configure(config):
    for name in MARKS:
        config.addinivalue_line("markers", f"{name}: of transformers")
