"""Where trials run: a pool (Ray), one driver process per experiment, and the supervisor that starts them."""
