"""Secrets in text: what the controller's guard refuses in a push, and what the host masks in a log.

Rules and nothing else: bytes or text go in, places in it come out. The package ships to Lambda and to the hosts, so it
uses the standard library only and runs under Python 3.9, the host's own.
"""
