"""What an operator does with dead letters: `python -m worker.deadletters list|show|retry|drop`."""
