"""Rewards of how a completion is written, whatever it says: length, repetition, language."""

import re
from collections import Counter
from typing import Any

from training.rewards.rowwise import RowWise, Said

WORD = re.compile(r"\w+", re.U)
SCRIPTS = {  # ranges of letters
    "Latin": ((0x41, 0x24F), (0x1E00, 0x1EFF)),
    "Cyrillic": ((0x400, 0x52F),),
    "Greek": ((0x370, 0x3FF), (0x1F00, 0x1FFF)),
    "Hebrew": ((0x590, 0x5FF),),
    "Arabic": ((0x600, 0x6FF), (0x750, 0x77F)),
    "Devanagari": ((0x900, 0x97F),),
    "Thai": ((0xE00, 0xE7F),),
    "Hangul": ((0xAC00, 0xD7AF), (0x1100, 0x11FF)),
    "Han": ((0x4E00, 0x9FFF), (0x3400, 0x4DBF)),
    "Japanese": ((0x3040, 0x30FF), (0x4E00, 0x9FFF)),
}
LANGUAGES = {
    **{"en": "Latin", "de": "Latin", "fr": "Latin", "es": "Latin", "it": "Latin", "pt": "Latin", "nl": "Latin"},
    **{"ru": "Cyrillic", "uk": "Cyrillic", "el": "Greek", "he": "Hebrew", "ar": "Arabic", "hi": "Devanagari"},
    **{"th": "Thai", "ko": "Hangul", "zh": "Han", "ja": "Japanese"},
}
COMMON = {  # words that hardly a sentence goes without
    "en": "the and of to is that it for with this be are was not have you from or which so",
    "de": "der die das und ist nicht ein eine mit sich auf für dem den zu von wir also wenn auch",
    "fr": "le la les et est une des que pour dans qui pas avec sur ce nous donc du au il",
    "es": "el los las y es una que por con para del se lo como más pero entonces tenemos al su",
    "it": "il di che è una per con non sono gli della si come più ma quindi abbiamo nel le questo",
    "pt": "o os as e é uma que por com para do da não se como mais mas então temos em",
    "nl": "de het een en is niet van dat met voor op zijn we dus als ook maar dit te aan",
}
COMMON_WORDS = {name: frozenset(words.split()) for name, words in COMMON.items()}


def length(argument: str = "", target: int = 0, limit: int = 0, unit: str = "words") -> RowWise:
    """The count itself; with `target`, 0 up to it and 1 from `limit` on (twice the target unless given), a line
    between: minus that is DAPO's soft overlong punishment (arXiv 2503.14476, eq. 13)."""
    end = limit or 2 * target
    if target and end <= target:
        raise ValueError(f"length: limit should be more than target, not {limit}")

    def one(completion: str, row: dict[str, Any]) -> Said:
        size = measured(completion, row, unit)
        if size is None:
            return None, "The run hands over no token ids to count."
        if not target:
            return float(size), f"{size} {unit}."
        over = min(1.0, max(0.0, (size - target) / (end - target)))
        return over, f"{size} {unit}, {'within' if size <= target else 'above'} {target}."

    return RowWise(one)


def measured(completion: str, row: dict[str, Any], unit: str) -> int | None:
    if unit == "tokens":
        ids = row.get("completion_ids")
        return None if ids is None else len(ids)
    return len(completion) if unit == "characters" else len(completion.split())


def repetition(argument: str = "", n: int = 4) -> RowWise:
    """The share of n-grams of words that stood there before: 0 where nothing repeats, near 1 for one phrase forever."""

    def one(completion: str, row: dict[str, Any]) -> Said:
        share, worst = repeated(words_of(completion), n)
        return share, f"{share:.0%} of its {n}-word sequences are repeats{f', most of all “{worst}”' if worst else ''}."

    return RowWise(one)


def repetition_of(text: str, n: int = 4) -> float:
    """The share alone, of n-grams of words.

    >>> repetition_of("No, no, no, no, no, no!"), repetition_of("Seven times eight is fifty-six.")
    (0.6666666666666667, 0.0)
    """
    return repeated(words_of(text), n)[0]


def words_of(text: str) -> list[str]:
    return WORD.findall(text.lower())


def repeated(words: list[str], n: int) -> tuple[float, str]:
    """
    >>> repeated("a b c a b c".split(), 2), repeated("a b".split(), 4)
    ((0.4, 'a b'), (0.0, ''))
    """
    grams = Counter(zip(*(words[at:] for at in range(n)), strict=False))
    total = grams.total()
    if not total or len(grams) == total:
        return 0.0, ""
    return 1 - len(grams) / total, " ".join(grams.most_common(1)[0][0])


def language(argument: str = "") -> RowWise:
    """The share of letters in the language's script; among languages of Latin letters, also how its small words
    stand against those of the likeliest other one. Rough, and meant for whole answers."""
    if argument not in LANGUAGES:
        raise ValueError(f"language: name one of {', '.join(LANGUAGES)}, such as language:en")
    ranges = SCRIPTS[LANGUAGES[argument]]

    def one(completion: str, row: dict[str, Any]) -> Said:
        letters = [ord(letter) for letter in completion if letter.isalpha()]
        if not letters:
            return None, "There are no letters."
        share = sum(any(low <= letter <= high for low, high in ranges) for letter in letters) / len(letters)
        value = share * against_others(completion, argument)
        return value, f"{share:.0%} of the letters fit, {value:.0%} with its small words."

    return RowWise(one)


def against_others(text: str, wanted: str) -> float:
    if wanted not in COMMON_WORDS:
        return 1.0
    words = Counter(WORD.findall(text.lower()))
    hits = {name: sum(words[word] for word in common) for name, common in COMMON_WORDS.items()}
    most = max(hits.values())
    return hits[wanted] / most if most > 1 else 1.0
