"""Payment providers: opens a payment page for an order, and records what the provider reports."""
