"""The role `context`: a brand's own texts, and the products whose captions they change."""
