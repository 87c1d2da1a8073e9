"""Composed search held against a catalogue: `weft eval composed`."""
