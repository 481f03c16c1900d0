"""The start of LlamaSketch on one machine: checks, installs, processes, and their end.

Standard library only: it runs before anything is installed.
"""
