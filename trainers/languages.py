"""The 49 languages of Xu and Murray (2022), Table 3: codes, names, scripts, families.

Scripts are ISO 15924 codes and differ from Table 3 where it errs (Javanese, Tagalog and Yoruba are written in Latin,
Kazakh in Cyrillic, Thai in Thai). The table describes; the data decide: a language that is not listed here works as
well. Which tasks the paper has for a language stands with the tasks (`trainers.tasks`).
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Language:
    """A language: ISO 639-1 code, English name, ISO 15924 script, family."""

    code: str
    name: str
    script: str
    family: str


_TABLE = (
    Language("af", "Afrikaans", "Latn", "IE: Germanic"),
    Language("ar", "Arabic", "Arab", "Afro-Asiatic"),
    Language("az", "Azerbaijani", "Latn", "Turkic"),
    Language("bg", "Bulgarian", "Cyrl", "IE: Slavic"),
    Language("bn", "Bengali", "Beng", "IE: Indo-Aryan"),
    Language("de", "German", "Latn", "IE: Germanic"),
    Language("el", "Greek", "Grek", "IE: Greek"),
    Language("en", "English", "Latn", "IE: Germanic"),
    Language("es", "Spanish", "Latn", "IE: Romance"),
    Language("et", "Estonian", "Latn", "Uralic"),
    Language("eu", "Basque", "Latn", "Basque"),
    Language("fa", "Persian", "Arab", "IE: Iranian"),
    Language("fi", "Finnish", "Latn", "Uralic"),
    Language("fr", "French", "Latn", "IE: Romance"),
    Language("gu", "Gujarati", "Gujr", "IE: Indo-Aryan"),
    Language("he", "Hebrew", "Hebr", "Afro-Asiatic"),
    Language("hi", "Hindi", "Deva", "IE: Indo-Aryan"),
    Language("hu", "Hungarian", "Latn", "Uralic"),
    Language("id", "Indonesian", "Latn", "Austronesian"),
    Language("it", "Italian", "Latn", "IE: Romance"),
    Language("ja", "Japanese", "Jpan", "Japonic"),
    Language("jv", "Javanese", "Latn", "Austronesian"),
    Language("ka", "Georgian", "Geor", "Kartvelian"),
    Language("kk", "Kazakh", "Cyrl", "Turkic"),
    Language("ko", "Korean", "Kore", "Koreanic"),
    Language("lt", "Lithuanian", "Latn", "IE: Baltic"),
    Language("ml", "Malayalam", "Mlym", "Dravidian"),
    Language("mr", "Marathi", "Deva", "IE: Indo-Aryan"),
    Language("ms", "Malay", "Latn", "Austronesian"),
    Language("my", "Burmese", "Mymr", "Sino-Tibetan"),
    Language("nl", "Dutch", "Latn", "IE: Germanic"),
    Language("pa", "Punjabi", "Guru", "IE: Indo-Aryan"),
    Language("pl", "Polish", "Latn", "IE: Slavic"),
    Language("pt", "Portuguese", "Latn", "IE: Romance"),
    Language("qu", "Cusco Quechua", "Latn", "Quechuan"),
    Language("ro", "Romanian", "Latn", "IE: Romance"),
    Language("ru", "Russian", "Cyrl", "IE: Slavic"),
    Language("sw", "Swahili", "Latn", "Niger-Congo"),
    Language("ta", "Tamil", "Taml", "Dravidian"),
    Language("te", "Telugu", "Telu", "Dravidian"),
    Language("th", "Thai", "Thai", "Kra-Dai"),
    Language("tl", "Tagalog", "Latn", "Austronesian"),
    Language("tr", "Turkish", "Latn", "Turkic"),
    Language("uk", "Ukrainian", "Cyrl", "IE: Slavic"),
    Language("ur", "Urdu", "Arab", "IE: Indo-Aryan"),
    Language("vi", "Vietnamese", "Latn", "Austro-Asiatic"),
    Language("wo", "Wolof", "Latn", "Niger-Congo"),
    Language("yo", "Yoruba", "Latn", "Niger-Congo"),
    Language("zh", "Mandarin Chinese", "Hans", "Sino-Tibetan"),
)

LANGUAGES: dict[str, Language] = {language.code: language for language in _TABLE}


def unknown(codes: Iterable[str]) -> list[str]:
    """In words, which codes are no language's: neither of ISO 639 nor a variant (BCP 47). They may be used anyway."""
    from langcodes import tag_is_valid

    return [
        f"{code!r} is no language code that is known, such as 'de' or 'zh-Hant'; it is taken as it is"
        for code in codes
        if not tag_is_valid(code)
    ]
