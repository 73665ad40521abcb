"""ASGI middleware that protects the gateway on stock uvicorn; see decision 21."""
