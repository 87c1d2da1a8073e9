"""The parts of the contact sheet: type, tiles of products, rows of queries."""
