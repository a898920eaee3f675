"""What is tried, as pure data: a spec, its checks, and the plan of trials that follows from it."""
