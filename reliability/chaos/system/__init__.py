"""The system under test: servers, gateways, workers, and the proxies between them."""
