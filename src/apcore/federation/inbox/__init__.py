"""Incoming activities: parse, authenticate, receive, process."""
