"""The model registry: which model may decide, who said so, and what would take that back."""
