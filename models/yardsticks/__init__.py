"""Yardsticks: how good a profile's models are, on anybody's data. Readers, measures and pictures; `weft eval` runs them."""
