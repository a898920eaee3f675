"""Pretrained encoders: opening one by name, the offline encoder, and vocabulary trimming."""
