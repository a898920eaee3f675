"""The service: who asks, where it runs, what is kept."""
