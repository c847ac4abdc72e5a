"""Review by people: which decisions of a model wait for a person, and what that person said."""
