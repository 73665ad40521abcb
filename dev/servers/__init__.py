"""Finds, starts and stops Postgres and RabbitMQ servers."""
