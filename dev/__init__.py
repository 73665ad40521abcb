"""What a developer runs: finds or starts Postgres and RabbitMQ, for `make up` and for the tests."""
