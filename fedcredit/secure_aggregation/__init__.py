"""Secure aggregation: pairwise masks that cancel in the sum and hide every single contribution."""
