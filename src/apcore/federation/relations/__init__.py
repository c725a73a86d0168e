"""Follow relations of our actors: the table of transitions, stored relations, and how activities change them."""
