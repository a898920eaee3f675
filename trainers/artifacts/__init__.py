"""What a trial leaves on the disk: checkpoints, kept models, predictions, each file whole or absent."""
