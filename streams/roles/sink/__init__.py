"""The role `sink`: captions as rows of a database."""
