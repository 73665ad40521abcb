"""Connections of clients: uvicorn's protocol, and what it is taught beyond its own."""
