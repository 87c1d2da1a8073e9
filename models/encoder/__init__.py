"""The encoders: photos and words → one space."""
