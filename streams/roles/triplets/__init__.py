"""`triplets`: pairs of the catalogue and the words that lead from the one to the other, for training composers."""
