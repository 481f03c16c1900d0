"""The studio in a real browser against real processes: `*.test.mjs`, run by node's test runner."""
