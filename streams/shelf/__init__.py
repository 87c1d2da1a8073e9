"""The shelf: labelled products from outside the catalogue, whose words and facts are neighbours of what the caption role sees."""
