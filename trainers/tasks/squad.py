"""SQuAD v1.1's exact match and F1, as XTREME applies them to TyDi QA (https://arxiv.org/abs/1606.05250, section 6.1).

English articles and white-space tokens count in every language.
"""

import re
import string
from collections import Counter

ARTICLES = re.compile(r"\b(a|an|the)\b")
NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def words(answer: str) -> list[str]:
    """An answer's words in lower case, without ASCII punctuation and articles, in this order."""
    return ARTICLES.sub(" ", answer.lower().translate(NO_PUNCTUATION)).split()


def exact_match(gold: str, predicted: str) -> float:
    """1 for the same words in the same order, else 0."""
    return float(words(gold) == words(predicted))


def f1(gold: str, predicted: str) -> float:
    """F1 between two bags of words; 0 without a common one, also if both are empty."""
    wanted, found = Counter(words(gold)), Counter(words(predicted))
    common = (wanted & found).total()
    return 2 * common / (wanted.total() + found.total()) if common else 0.0
