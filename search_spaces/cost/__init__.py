"""What a plan costs before anything is paid: its workload, the time that takes, and the whole estimate."""
