"""Havoc: real processes under load, broken on purpose, then audited by means of their own.

Reads the database, the disk and the HTTP API; imports nothing of what it judges.
"""
