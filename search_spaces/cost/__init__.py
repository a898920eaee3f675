"""What a plan costs before any of it runs: workload, time, and the whole estimate."""
