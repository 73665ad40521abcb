"""HTTP in, commands out: checks who asks, hands the command to the broker, awaits the outcome."""
