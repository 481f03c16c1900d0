"""What starts, tests and looks after LlamaSketch on a machine."""
