"""Fault injection: breaks a system under load, and checks that no command is lost or repeated."""
