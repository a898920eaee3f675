#!/bin/bash
# The service, and beside it a Ray node without slots: a driver joins a cluster through a node on its own machine.
# When one of them ends the other is stopped, and so ends the container: Docker then starts both again.
trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT
trap exit TERM INT
ray start --address="$ALLASPRAK_RAY_ADDRESS" --num-cpus=0 --num-gpus=0 --block &
allasprak serve --host 0.0.0.0 &
wait -n
