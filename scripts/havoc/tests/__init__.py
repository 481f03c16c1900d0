"""Tests of what needs no process: the plans, the hues, the proxy, the audit."""
