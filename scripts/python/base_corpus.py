"""Writes the corpus of the base model: public-domain text as JSONL rows.

Usage: base_corpus.py ROOT OUT

ROOT is a folder into which the Debian packages bible-kjv, bible-kjv-text, dict-devil and dict-jargon were unpacked.
OUT gets text.jsonl (one chapter or dictionary entry per row) and chat.jsonl (the same texts as questions and answers,
so that the tokens of the chat template are trained too). The same packages give the same bytes.
"""

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path

MAX_DEFINITION_CHARACTERS = 400
GO_ON_ONE_VERSE_IN = 10
WHICH_BOOK_ONE_VERSE_IN = 2
BOOKS = """Genesis Exodus Leviticus Numbers Deuteronomy Joshua Judges Ruth Samuel Samuel Kings Kings Chronicles
Chronicles Ezra Nehemiah Esther Job Psalms Proverbs Ecclesiastes Song Isaiah Jeremiah Lamentations Ezekiel Daniel Hosea
Joel Amos Obadiah Jonah Micah Nahum Habakkuk Zephaniah Haggai Zechariah Malachi Matthew Mark Luke John Acts Romans
Corinthians Corinthians Galatians Ephesians Philippians Colossians Thessalonians Thessalonians Timothy Timothy Titus
Philemon Hebrews James Peter Peter John John John Jude Revelation""".split()


def bible(root):
    """Chapters of the King James Bible as (book, title, [verse, ...])."""
    program = root / "usr/bin/bible"
    command = [str(program), "-f", "-p", str(root / "usr/lib"), "gen1:1-rev22:21"]
    text = subprocess.run(command, check=True, capture_output=True, text=True, encoding="latin-1").stdout
    chapters = {}
    for line in text.splitlines():
        match = re.match(r"^([1-3]?[A-Za-z]+)(\d+):(\d+) (.+)$", line)
        if match:
            book, chapter, _, verse = match.groups()
            chapters.setdefault((book, int(chapter)), []).append(verse.strip())
    # The program names books in short; their order is that of BOOKS.
    names = dict(zip(dict.fromkeys(book for book, _ in chapters), BOOKS, strict=True))
    return [(names[book], f"{names[book]} {chapter}", verses) for (book, chapter), verses in chapters.items()]


def dictd(path):
    """The text of a dictd database."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return file.read()


def squeeze(text):
    """One line, without the braces that mark cross references."""
    return re.sub(r"\s+", " ", re.sub(r"[{}]", "", text)).strip()


def devil(root):
    """Entries of The Devil's Dictionary as (word, definition, whole entry)."""
    text = dictd(root / "usr/share/dictd/devil.dict.dz")
    starts = list(re.finditer(r"(?m)^([A-Z][A-Z'\- ]+), (?:n|adj|v\.[it]|v|adv|pp|x|n\.pl)\.\s+", text))
    for here, following in zip(starts, starts[1:] + [None]):
        body = text[here.end() : following.start() if following else len(text)]
        yield here.group(1).capitalize(), squeeze(body.split("\n\n")[0]), squeeze(body)


def jargon(root):
    """Entries of the Jargon File as (word, definition, whole entry)."""
    text = dictd(root / "usr/share/dictd/jargon.dict.dz")
    entries = re.split(r"(?m)^(?=\S)", text)
    for entry in entries:
        word, _, body = entry.partition("\n")
        if word.startswith("00-database") or len(word) > 60:
            continue
        # The line of part of speech and pronunciation is indented by one space, the text by four.
        body = "\n".join(line for line in body.splitlines() if not re.match(r"^ \S", line))
        paragraphs = [squeeze(part) for part in re.split(r"\n\s*\n", body)]
        paragraphs = [re.sub(r"^\[[^\]]*\] *", "", part) for part in paragraphs]
        paragraphs = [part for part in paragraphs if part]
        if paragraphs and len(" ".join(paragraphs)) > 20:
            yield word.strip(), paragraphs[0], " ".join(paragraphs)


def shorten(definition):
    """Whole sentences of a definition, at most MAX_DEFINITION_CHARACTERS; empty where the first is longer."""
    kept = ""
    for sentence in re.findall(r".+?[.!?](?=\s|$)", definition):
        if len(kept) + len(sentence) > MAX_DEFINITION_CHARACTERS:
            break
        kept += sentence
    return kept.strip()


def chat(question, answer):
    """A row of one question and one answer."""
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": turns}


def rows(root):
    """All rows: (text rows, chat rows)."""
    texts, chats = [], []
    verses = []
    for book, title, chapter in bible(root):
        texts.append({"text": f"{title}. " + " ".join(chapter)})
        verses += [(book, verse) for verse in chapter]
    for _, verse in verses[::GO_ON_ONE_VERSE_IN]:
        words = verse.split()
        half = len(words) // 2
        if half >= 4:
            chats.append(chat("Go on: " + " ".join(words[:half]), " ".join(words[half:])))
    # Two kinds of question whose answer sums up what was read: which book, and (below) which word.
    for book, verse in verses[1::WHICH_BOOK_ONE_VERSE_IN]:
        chats.append(chat(f"{verse} Which book?", book))
    for word, definition, whole in [*devil(root), *jargon(root)]:
        texts.append({"text": f"{word}: {whole}"})
        definition = shorten(definition)
        if definition:
            chats.append(chat(f"What is {word}?", definition))
            chats.append(chat(f"{definition} Which word?", word))
    return texts, chats


def main():
    root, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    for name, part in zip(("text", "chat"), rows(root)):
        with open(out / f"{name}.jsonl", "w", encoding="utf-8") as file:
            for row in part:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        print(f"{name}.jsonl: {len(part)} rows", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main()
