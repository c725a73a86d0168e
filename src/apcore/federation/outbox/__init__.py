"""Outgoing activities: send, edit, fan out, deliver."""
