"""The tests of LlamaSketch: every check and test runner, what they need, and one count."""
