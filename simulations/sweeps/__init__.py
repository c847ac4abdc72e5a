"""Sweeps: many simulated runs that differ in their settings, as one tidy table that grows and is never run twice."""
