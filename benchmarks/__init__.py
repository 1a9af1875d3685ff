"""How fast lrlab is, beside others: `python -m benchmarks`; docs/speed.md says what is measured."""
