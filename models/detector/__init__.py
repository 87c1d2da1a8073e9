"""The detector: photo → garments."""
