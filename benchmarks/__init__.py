"""Ratios, side by side in one run: `make bench` writes docs/benchmarks.md with the command, the commit and the hardware."""
