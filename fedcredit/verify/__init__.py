"""Checking a finished job offline, from what its coordinator left behind, without trusting anybody's word."""
