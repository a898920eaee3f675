"""The 49 languages of Xu and Murray (2022), Table 3: codes, names, scripts, families, tasks.

Scripts are ISO 15924 codes and differ from Table 3 where it errs (Javanese, Tagalog and Yoruba are written in Latin,
Kazakh in Cyrillic, Thai in Thai); the tasks are those of the paper's result tables. The registry describes; the data
decide: a language that is not listed here works as well.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Language:
    """A language: ISO 639-1 code, English name, ISO 15924 script, family, and the tasks that XTREME-R has for it."""

    code: str
    name: str
    script: str
    family: str
    tasks: frozenset[str]


def _language(code: str, name: str, script: str, family: str, tasks: str) -> Language:
    return Language(code, name, script, family, frozenset(tasks.split()))


_TABLE = (
    _language("af", "Afrikaans", "Latn", "IE: Germanic", "ner pos"),
    _language("ar", "Arabic", "Arab", "Afro-Asiatic", "ner pos tydiqa xnli"),
    _language("az", "Azerbaijani", "Latn", "Turkic", "ner"),
    _language("bg", "Bulgarian", "Cyrl", "IE: Slavic", "ner pos xnli"),
    _language("bn", "Bengali", "Beng", "IE: Indo-Aryan", "ner tydiqa"),
    _language("de", "German", "Latn", "IE: Germanic", "ner pos xnli"),
    _language("el", "Greek", "Grek", "IE: Greek", "ner pos xnli"),
    _language("en", "English", "Latn", "IE: Germanic", "ner pos tydiqa xnli"),
    _language("es", "Spanish", "Latn", "IE: Romance", "ner pos xnli"),
    _language("et", "Estonian", "Latn", "Uralic", "ner pos"),
    _language("eu", "Basque", "Latn", "Basque", "ner pos"),
    _language("fa", "Persian", "Arab", "IE: Iranian", "ner pos"),
    _language("fi", "Finnish", "Latn", "Uralic", "ner pos tydiqa"),
    _language("fr", "French", "Latn", "IE: Romance", "ner pos xnli"),
    _language("gu", "Gujarati", "Gujr", "IE: Indo-Aryan", "ner"),
    _language("he", "Hebrew", "Hebr", "Afro-Asiatic", "ner pos"),
    _language("hi", "Hindi", "Deva", "IE: Indo-Aryan", "ner pos xnli"),
    _language("hu", "Hungarian", "Latn", "Uralic", "ner pos"),
    _language("id", "Indonesian", "Latn", "Austronesian", "ner pos tydiqa"),
    _language("it", "Italian", "Latn", "IE: Romance", "ner pos"),
    _language("ja", "Japanese", "Jpan", "Japonic", "ner pos"),
    _language("jv", "Javanese", "Latn", "Austronesian", "ner"),
    _language("ka", "Georgian", "Geor", "Kartvelian", "ner"),
    _language("kk", "Kazakh", "Cyrl", "Turkic", "ner pos"),
    _language("ko", "Korean", "Kore", "Koreanic", "ner pos tydiqa"),
    _language("lt", "Lithuanian", "Latn", "IE: Baltic", "ner pos"),
    _language("ml", "Malayalam", "Mlym", "Dravidian", "ner"),
    _language("mr", "Marathi", "Deva", "IE: Indo-Aryan", "ner pos"),
    _language("ms", "Malay", "Latn", "Austronesian", "ner"),
    _language("my", "Burmese", "Mymr", "Sino-Tibetan", "ner"),
    _language("nl", "Dutch", "Latn", "IE: Germanic", "ner pos"),
    _language("pa", "Punjabi", "Guru", "IE: Indo-Aryan", "ner"),
    _language("pl", "Polish", "Latn", "IE: Slavic", "ner pos"),
    _language("pt", "Portuguese", "Latn", "IE: Romance", "ner pos"),
    _language("qu", "Cusco Quechua", "Latn", "Quechuan", "ner"),
    _language("ro", "Romanian", "Latn", "IE: Romance", "ner pos"),
    _language("ru", "Russian", "Cyrl", "IE: Slavic", "ner pos tydiqa xnli"),
    _language("sw", "Swahili", "Latn", "Niger-Congo", "ner tydiqa xnli"),
    _language("ta", "Tamil", "Taml", "Dravidian", "ner pos"),
    _language("te", "Telugu", "Telu", "Dravidian", "ner pos tydiqa"),
    _language("th", "Thai", "Thai", "Kra-Dai", "ner xnli"),
    _language("tl", "Tagalog", "Latn", "Austronesian", "ner"),
    _language("tr", "Turkish", "Latn", "Turkic", "ner pos xnli"),
    _language("uk", "Ukrainian", "Cyrl", "IE: Slavic", "ner pos"),
    _language("ur", "Urdu", "Arab", "IE: Indo-Aryan", "ner pos xnli"),
    _language("vi", "Vietnamese", "Latn", "Austro-Asiatic", "ner pos xnli"),
    _language("wo", "Wolof", "Latn", "Niger-Congo", "pos"),
    _language("yo", "Yoruba", "Latn", "Niger-Congo", "ner"),
    _language("zh", "Mandarin Chinese", "Hans", "Sino-Tibetan", "ner pos xnli"),
)

LANGUAGES: dict[str, Language] = {language.code: language for language in _TABLE}


def languages_of(task: str) -> tuple[str, ...]:
    """Codes of the languages that XTREME-R, as the paper used it, has for a task, in alphabetical order."""
    return tuple(sorted(code for code, language in LANGUAGES.items() if task in language.tasks))
