"""Stripe: Checkout sessions, and the events that Stripe signs."""
