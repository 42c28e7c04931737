"""How fast a trace can be read, and which labels came faster than that. Plain numbers."""

WORDS_A_MINUTE = 600  # 2.5 times the pace of silent reading (238 a minute, Brysbaert 2019): skimming, not checking
LONG = 60  # words; a shorter trace is read at a glance
CHARACTERS_A_WORD = 12  # where a text has no spaces to count


def words_in(text: str) -> int:
    """Words to read; a text in a script without spaces counts by its length.

    >>> words_in("So 5x = 6x - 14."), words_in("因此" * 60), words_in("")
    (6, 10, 0)
    """
    return max(len(text.split()), len(text) // CHARACTERS_A_WORD)


def too_fast(words: int, seconds: float) -> bool:
    """Whether a long trace was marked faster than it can be read. Unknown time (0) accuses nobody.

    >>> too_fast(200, 10), too_fast(200, 60), too_fast(20, 1), too_fast(200, 0)
    (True, False, False, False)
    """
    return words >= LONG and seconds > 0 and words * 60 > seconds * WORDS_A_MINUTE
