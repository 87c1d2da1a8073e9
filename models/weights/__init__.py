"""Weights: which a profile consists of, how they are fetched, converted, checked and resolved."""
