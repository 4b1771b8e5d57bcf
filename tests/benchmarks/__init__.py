"""What the package costs, beside what people use for the same: `python tests/benchmarks/run.py --help`."""
