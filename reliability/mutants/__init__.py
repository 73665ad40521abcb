"""Mutation tests: each seeded bug must be caught by the tests that its mutant names."""
