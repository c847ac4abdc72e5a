"""A made-up population of bank customers and patients with known truth; everything here is SYNTHETIC."""

from simulations.population.drawing import Population, draw
from simulations.population.spec import PopulationSpec

__all__ = ["PopulationSpec", "Population", "draw"]
