"""Overload: what a deployment still does when far more is asked of it than it can do."""
