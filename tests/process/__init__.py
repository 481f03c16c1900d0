"""Real processes: what a caller sees while they work, fail, die and come back."""
