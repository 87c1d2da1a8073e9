"""Every model behind a small typed Protocol (`models.ports`), one file per library, and the recipes that train them."""
