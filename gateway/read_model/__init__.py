"""Reads the views of the schema `read_model`; writes nothing."""
