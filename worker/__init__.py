"""Decides commands: takes them from the queue, applies them in locked transactions, answers."""
