"""`standing`: queries that stand, and the products that are most alike, kept true as the catalogue moves."""
