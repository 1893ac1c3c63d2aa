"""What docs/benchmarks.md states, measured on real calls: `python -m tests.bench --help`."""
