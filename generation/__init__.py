"""What a job is: its states, events, nodes, scheduling, interface and admin."""
