"""What a brand's own texts add to a caption: sentences, chunks, grounding, and the choice of what is said."""
