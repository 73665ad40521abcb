"""The faults, by what they strike: workers and gateways, Postgres, RabbitMQ, and their wires."""
