"""What a deployment needs beside the processes: accounts at the broker, and secrets."""
