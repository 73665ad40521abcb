"""Breaks a system of its own while buyers buy, and checks that nothing was lost or doubled."""
