"""Training one model: what it may see, the loop, the schedule, scoring, selecting and resuming."""
