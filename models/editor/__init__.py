"""Editing garments by diffusion (Fashion-RAG, MODELS.md part 3): the networks, their prompts, and the port's adapter."""
