"""The role `duplicates`: which products show the same photo."""
