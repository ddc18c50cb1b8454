"""The operator side of esteira: the command line and the AWS on your laptop. Never deployed."""
