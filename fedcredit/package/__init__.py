"""The model package: a released scorecard with its dictionary and lineage, checked by hash, and its exports."""
