"""Generates requests from the OpenAPI document and checks that every answer is documented."""
