"""Pretrained encoders: finding one by name, the offline encoder, and the rows of its word embeddings."""
