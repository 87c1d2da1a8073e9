"""Profiles: files that name the models Weft runs on, part by part. Nothing heavy is imported before a model is loaded."""
