"""Telling people about a change: commit comment, topic, chat."""
