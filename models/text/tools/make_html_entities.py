#!/usr/bin/env python3
"""Writes models/text/html_entities.inc: the named character references of the HTML standard, sorted by name.

Python's html.entities.html5 is the list published by WHATWG (https://html.spec.whatwg.org/entities.json). Each
entry is {name, UTF-8 text, whether the name also counts without its semicolon}.

Usage: python3 models/text/tools/make_html_entities.py > models/text/html_entities.inc
"""
from html.entities import html5

WIDTH = 110

print("// Made by models/text/tools/make_html_entities.py from the published list of HTML's named character references.")
line = ""
for name in sorted(key[:-1] for key in html5 if key.endswith(";")):
    text = html5[name + ";"]
    assert html5.get(name, text) == text
    escaped = "".join(f"\\x{byte:02x}" for byte in text.encode())
    entry = f'{{"{name}", "{escaped}", {int(name in html5)}}},'
    if len(line) + 1 + len(entry) > WIDTH:
        print(line)
        line = entry
    else:
        line = f"{line} {entry}" if line else entry
print(line)
