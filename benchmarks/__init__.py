"""One figure a file; `python -m benchmarks` lists them, `python -m benchmarks NAME` prints one JSON line."""
