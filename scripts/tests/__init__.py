"""Tests of what runs on a GPU machine."""
