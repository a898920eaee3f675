"""Files of a trial: checkpoints, kept models and predictions, where they are and how they are written atomically."""
