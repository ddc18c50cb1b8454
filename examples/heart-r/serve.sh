#!/bin/bash
# Process 1 of the container. R ends at once on SIGTERM, with 143 and its pages' WebSockets cut; on SIGINT it ends in
# order (R/serve.R). So SIGTERM is passed on as SIGINT, and R's exit status is the container's.
set -m # job control: without it, what runs in the background ignores SIGINT
Rscript R/serve.R &
app=$!
trap 'kill -INT $app' TERM INT
wait $app
status=$?
# A signal ends the wait and not R: wait until R is gone.
while kill -0 $app 2>/dev/null; do
    wait $app
    status=$?
done
exit $status
