"""Tools that try to break the product: chaos, simulation, mutants, fuzzing."""
