"""Captioners of triplets: by rule, by the writer, or by a vision-language model."""
