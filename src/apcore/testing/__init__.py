"""Test your adapters and applications: conformance suites, faults, histories, simulated peers.

Needs the ``test`` extra.
"""
