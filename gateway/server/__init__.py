"""The HTTP server: connections, load shedding, slow clients, client disconnects."""
