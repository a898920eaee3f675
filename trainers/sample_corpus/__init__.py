"""A small artificial corpus in ten languages, for trying the software.

This is a SAMPLE: every sentence is generated from a few sentence patterns and a short word list for its language, and
every gold label follows from how the sentence was built. It is regular and easy, its people and organisations are
invented, and its train, dev and test splits come from the same patterns. Scores on it show that the software runs;
they say nothing about XTREME-R, about any natural text, or about how well one language transfers to another.
"""

from trainers.sample_corpus.corpus import LANGUAGES, SPLITS

__all__ = ["LANGUAGES", "SPLITS"]
