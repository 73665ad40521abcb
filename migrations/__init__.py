"""The versions of the database schema; `python -m migrations` upgrades to the newest."""
