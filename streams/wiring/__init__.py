"""The composition root: the one room that knows which classes the roles of a process are made of."""
