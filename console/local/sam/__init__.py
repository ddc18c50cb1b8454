"""Building, invoking and deploying with the SAM CLI."""
