"""Kind, pattern, sleeve, neckline and length, read from the encoder's own pass."""
