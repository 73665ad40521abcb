"""What must be true of a run, and a model of the rules that says what must come of each command."""
