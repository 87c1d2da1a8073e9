"""Composers: from a reference and a change to the one vector that is searched for."""
