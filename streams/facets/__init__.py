"""The heads of facets in the object store: their versions, which one is live, and how a role follows it."""
