"""Shipped for everyone who writes an adapter or tests an application: conformance suites, faults, histories. Needs the ``test`` extra."""
