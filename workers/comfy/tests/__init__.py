"""Tests of the ComfyUI client."""
