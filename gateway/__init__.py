"""HTTP in, commands out: authenticates, publishes the command, awaits the outcome."""
