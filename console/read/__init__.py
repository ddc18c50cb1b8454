"""Reading the table for people."""
