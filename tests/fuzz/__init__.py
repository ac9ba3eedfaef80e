"""Fuzzers: `python -m tests.fuzz.hj212 --cases 100000`. The suite runs a few hundred of their cases each time."""
