"""Garment editing without a generative model: the look of one garment laid onto another, its folds and light kept."""
