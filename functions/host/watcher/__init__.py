"""The watcher: what the container that is live on this host is like, told to the controller.

A systemd unit runs it for each service (hooks/watcher.sh). It acts on nothing: it looks, judges, and puts an event of
the source ``esteira.host``, when something changes and now and then to say that it still looks. It runs under the
host's own Python (3.9 on Amazon Linux 2023), so nothing newer is used and nothing is imported from outside the standard
library.
"""
