"""The faults, by target: workers and gateways, Postgres, RabbitMQ, and their connections."""
