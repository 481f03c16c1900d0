"""Measurements: the way from a sketch to its image, timed beside bare clients of the same node.

Real processes, as scripts/start runs them. What is timed is what a caller sees from outside.
"""
