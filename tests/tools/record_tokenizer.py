#!/usr/bin/env python3
"""Writes recorded.jsonl.gz: texts and the ids that CLIP's own tokeniser gives them, one JSON object per line.

  {"kind": K, "text": T, "ids": [...]}      text as it is
  {"kind": K, "bytes": HEX, "ids": [...]}   bytes that are not UTF-8; Python decoded them with errors="replace"

The ids are those of open_clip's SimpleTokenizer; openai/CLIP's agrees on every text, except on the spelling of the two
special words, where its ids are recorded ("<|endoftext|>", which open_clip 3 spells "<end_of_text>").

Recorded with ftfy 6.3.1, regex 2026.11.15, Babel 2.18.0, open_clip_torch 3.3.0, clip-anytorch 2.6.0 on Python 3.11:
  python3 -m venv venv && venv/bin/pip install ftfy regex Babel
  pip download --no-deps open_clip_torch clip-anytorch && unzip each wheel into the folder WHEELS
  venv/bin/python tests/tools/record_tokenizer.py WHEELS tests/data/tokenizer/recorded.jsonl.gz
"""
import gzip
import html
import importlib.util
import json
import random
import sys
import types
import unicodedata
from html.entities import html5

import babel

random.seed(20240611)

CAPTIONS = """
a photo of a red bicycle leaning against a brick wall|two dogs playing in the snow, one black and one white
Élégante robe d'été à pois, taille 38|Ein großes Haus mit grünen Fensterläden in Österreich
Café crème et croissants sur la table — déjeuner à l'hôtel|El niño corrió detrás del pájaro azul ¡mañana!
Żółta łódź płynie po spokojnym jeziorze|Příliš žluťoučký kůň úpěl ďábelské ódy
Árvíztűrő tükörfúrógép a műhelyben|Șapte câini și o pisică pe plajă
İstanbul'da güneşli bir gün, ağaçlar ve çiçekler|Ljubičasti šešir na drvenoj klupi, čudesno
En gammal båt vid sjön, rött hus och blå himmel|Þetta er íslenskur hestur á grænu túni
Bức ảnh một con mèo đang ngủ trên ghế|Một bát phở bò Hà Nội với rau thơm
Красный велосипед стоит у кирпичной стены|Две собаки играют в снегу, зима 2019 года
Чоловік читає газету в парку під дубом, їжак і ґанок|Малко момиче държи жълт балон
Η γάτα κοιμάται στον ήλιο, δίπλα στη ΘΆΛΑΣΣΑ|ΟΔΟΣ ΑΘΗΝΑΣ ΚΑΙ ΣΤΑΔΙΟΥ
כלב שחור רץ על החוף בשקיעה|תמונה של עוגת שוקולד עם נרות
صورة لقطة بيضاء تجلس على النافذة|مدينة القاهرة في الليل، أضواء ونيل
یک دوچرخهٔ قرمز کنار دیوار آجری|لاہور کی پرانی گلیاں اور بازار
एक लाल साइकिल दीवार के पास खड़ी है|बच्चा बारिश में खेल रहा है
একটি লাল সাইকেল দেয়ালের পাশে|ਲਾਲ ਸਾਈਕਲ ਕੰਧ ਦੇ ਕੋਲ ਖੜੀ ਹੈ
લાલ સાયકલ દીવાલ પાસે ઊભી છે|ஒரு சிவப்பு மிதிவண்டி சுவரின் அருகில்
గోడ పక్కన ఎర్ర సైకిల్ ఉంది|ಗೋಡೆಯ ಬಳಿ ಕೆಂಪು ಬೈಸಿಕಲ್ ನಿಂತಿದೆ
മതിലിനരികിൽ ഒരു ചുവന്ന സൈക്കിൾ|බිත්තිය අසල රතු බයිසිකලයක්
จักรยานสีแดงพิงกำแพงอิฐ|ລົດຖີບສີແດງຢູ່ຂ້າງກຳແພງ
နံရံဘေးတွင် စက်ဘီးအနီ|កង់ក្រហមនៅក្បែរជញ្ជាំង
დიდი წითელი ველოსიპედი კედელთან|Կարմիր հեծանիվ պատի մոտ
ቀይ ብስክሌት ከግድግዳው አጠገብ|དམར་པོའི་རྐང་འཁོར
一辆红色自行车靠在砖墙上|兩隻狗在雪地裡玩耍,一黑一白
赤い自転車がレンガの壁に立てかけてある|カメラを持った女の人と東京タワー
빨간 자전거가 벽돌 벽에 기대어 있다|눈 속에서 노는 강아지 두 마리
ᐊᒥᓱᑦ ᐃᓄᐃᑦ ᓄᓇᕗᒻᒥ|ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ
""".replace("\n", "|").strip("|").split("|")

SCRIPTS = {  # letters, marks and digits of a script
    "latin": (0x41, 0x24F), "latin-more": (0x1E00, 0x1EFF), "ipa": (0x250, 0x2AF), "greek": (0x370, 0x3FF),
    "greek-more": (0x1F00, 0x1FFF), "cyrillic": (0x400, 0x52F), "armenian": (0x531, 0x58A), "hebrew": (0x591, 0x5F4),
    "arabic": (0x600, 0x6FF), "syriac": (0x700, 0x74F), "thaana": (0x780, 0x7B1), "devanagari": (0x900, 0x97F),
    "bengali": (0x980, 0x9FE), "gurmukhi": (0xA01, 0xA76), "gujarati": (0xA81, 0xAFF), "oriya": (0xB01, 0xB77),
    "tamil": (0xB82, 0xBFA), "telugu": (0xC00, 0xC7F), "kannada": (0xC80, 0xCF2), "malayalam": (0xD00, 0xD7F),
    "sinhala": (0xD81, 0xDF4), "thai": (0xE01, 0xE5B), "lao": (0xE81, 0xEDF), "tibetan": (0xF00, 0xFDA),
    "myanmar": (0x1000, 0x109F), "georgian": (0x10A0, 0x10FF), "jamo": (0x1100, 0x11FF), "ethiopic": (0x1200, 0x137F),
    "cherokee": (0x13A0, 0x13FD), "ogham": (0x1680, 0x169C), "khmer": (0x1780, 0x17F9), "mongolian": (0x1800, 0x18AA),
    "hiragana": (0x3041, 0x309F), "katakana": (0x30A0, 0x30FF), "bopomofo": (0x3105, 0x312F), "cjk": (0x4E00, 0x9FFF),
    "yi": (0xA000, 0xA48C), "hangul": (0xAC00, 0xD7A3), "deseret": (0x10400, 0x1044F), "gothic": (0x10330, 0x1034A),
    "marks": (0x300, 0x36F), "letterlike": (0x2100, 0x218B), "enclosed": (0x2460, 0x24FF), "arrows": (0x2190, 0x23FF),
    "symbols": (0x2500, 0x27BF), "punctuation": (0x2000, 0x206F), "currency": (0x20A0, 0x20C0),
    "mathematical": (0x1D400, 0x1D7FF), "emoji": (0x1F300, 0x1F6FF), "emoji-more": (0x1F900, 0x1FAFF),
    "presentation": (0xFB00, 0xFDFF), "width": (0xFF00, 0xFFEF), "compatibility": (0x3200, 0x33FF),
}

EMOJI = ["😀", "👍🏽", "👨‍👩‍👧‍👦", "🇩🇪🇫🇷", "❤️", "🏴󠁧󠁢󠁷󠁬󠁳󠁿", "1️⃣", "🏳️‍🌈", "🐈‍⬛", "✈️", "☕", "🧑🏾‍🚀", "©️", "™", "🎉🎉🎉"]

CONTRACTIONS = """
it's a dog's life|IT'S THE DOG'S|we're they've I'm you'll he'd can't|'s 't 're 've 'm 'll 'd|''s!'s ...'ll|rock'n'roll
o'clock d'or l'été|don’t we’ll they‘re|it'ſ longſ|'Twas the night|12'34" 5'S|a.b,c;d:e!f?g|#hashtag @user $5.99 50% & more
3.14159 2,000,000 ²³¹ ½ Ⅷ ① ٣٤٥|e-mail: someone@example.com|https://example.com/a/b?c=d&e=f#g|C++ C# F# .NET node.js
_under_score_ *bold* `code` ~strike~|<b>bold</b> & <i>italic</i>|a <b>bold</b> &amp; &lt;tag&gt;|x < y &amp;&amp; y > z
<|startoftext|> a <|endoftext|> b|<|STARTOFTEXT|>x<|EndOfText|>|<|ſtartoftext|>|<| startoftext |>|<start_of_text>x<end_of_text>
IMG_20190412_123456.jpg DSC-0042|ａｂｃ ＡＢＣ １２３ ！＃％|ﾊﾝｶｸ ｶﾀｶﾅ ｶﾞｷﾞ|ﬁnal ﬂoor oﬃce waﬄe ﬀ ﬅ ﬆ|Ĳsland ĳs ŉ Ǆ ǅ ǆ Ǉ Ǌ Ǳ
“double” ‘single’ „low‟ ‚x‛ ʼn|«guillemets» ‹x›|İI ıi ŞŞ ßẞ|ΣΑΣ ΣΣ Σ. ΑΣ' ΑΣ'Α ΑΣ́Β Σ’Σ ᾼΣ ⅧΣ Aˢ Σ
ΌΣΟΣ ὈΔΥΣΣΕΎΣ|ǲ Ǆ ᾈ ᾳ α\u0345 x\u0345y|é é Å Å ñ ﬁ|e\u0301\u0323 e\u0323\u0301 q\u0307\u0323|가 가 각 각|각\u11a8 \u1100\u1161\u11a8
ｷﾞ ﾊﾟ 가|Ω Ω K K Å|\u0958 \u0929 \u0b94|ﷺ ﷲ ﻻ ｡｢｣|ſ ſt K℃ Å|\u1e9b\u0323 \u03d3|schön schön STRASSE Straße
""".replace("\n", "|").strip("|").split("|")
CONTRACTIONS = [s.encode("ascii", "backslashreplace").decode("unicode_escape") if "\\u" in s else s
                for s in CONTRACTIONS]

ENTITY_TEXTS = """
Tom &amp; Jerry|Tom &amp;amp; Jerry|&amp;amp;amp;amp; deep|caf&eacute; cr&egrave;me|caf&eacute cr&egrave me|P&EACUTE;REZ &NTILDE; &nTILDE;
BUNDESSTRA&SZLIG;E|&#233; &#xE9; &#XE9; &#0233; &#233|&#8217;s it&#8217;s it&rsquo;s|&#x2019 &#x201C;q&#x201D;|&#150; &#151; &#133; &#x80; &#x9f;
&#0; &#xD800; &#x110000; &#99999999999999999999;|&#1; &#11; &#127; &#xFDD0; &#xFFFE; &#x1FFFF; x|&#10;&#13;&#9;x|&#x; &#; &#xg; &#12a; &#38; &#59;
&notit; &notin; &not; &notx|&ampere &ltx &gt5 &copy2019|& &; &&amp; &unknown; &Unknown|&lt;b&gt;bold&lt;/b&gt;|<p>&eacute;</p>
line one &amp;\nline <b> two &eacute;\nline three &eacute; &amp;amp;|&CounterClockwiseContourIntegral; &rarrb; &nvlt; &bne;|&nbsp;&ensp;&shy;x&zwj;&zwnj;
&quot;quoted&quot; &apos;x&apos; &#39;y&#39;|&#128512; &#x1F600;|&hellip;&mdash;&ndash;&lsquo;&rsquo;&ldquo;&rdquo;|&trade;&reg;&copy;&euro;&pound;
&abcdefghijklmnopqrstuvwxyzabcdefghijkl;|&é; &eacute;é|&amp;eacute; &amp;#233;|&Amp; &AMP; &AMP &LT;b&GT;|&aacute&aacute;&AACUTE;
""".replace("\n", "|").strip("|").split("|")
ENTITY_TEXTS = [s.replace("\\n", "\n") for s in ENTITY_TEXTS]

CONTROLS = [
    "tab\there", "two\nlines", "cr\rlf\r\nend", "\x00nul\x00", "bell\x07 back\x08space", "vt\x0bff\x0cx", "del\x7fete",
    "\x1b[31mred\x1b[0m plain", "\x1b[1;44mA\x1b[m \x1b[9 \x1b[ x", "\x1b[٣m digit", "\ufeffbom", "zero\u200bwidth",
    "soft\u00adhyphen", "line\u2028sep\u2029para", "a\u0085b", "nbsp\u00a0x\u202fy\u3000z", "\u2060word\u206ajoin\u206f",
    "\ufff9anno\ufffatation\ufffb", "obj\ufffcect", "repl\ufffdaced", "\x1c\x1d\x1e\x1f", "a\x1cb\x1dc\x1ed\x1fe",
    "\u200ertl\u200f \u202aembed\u202c", "   many     spaces   ", "", " ", "\t\n", "\x80uro \x92s \x93q\x94 \x85",
    "\x81\x8d\x8f\x90\x9d", "caf\xe9 \x96 bar", "a\x01\u0301", "e\x02\u0301 x", "\ud7ff\ue000\uf8ff", "\U000e0041tag",
    "\U0010ffff \ufffe", "\u180e \u2000\u2001\u200a\u205f", "\u1680ogham", "&\x01amp;", "&\ufeffeacute;", "\x1b[3",
]

UPPER = "CAFÉ” “À bientôt” É… VOILÀ! “É” FIANCÉ’S Ç’EST NOËL® ÉTÉ™ MAÇÃ IRMÃO MAÑANA ÀÉÎÕÜ «À» PŘÍŠTÍ TOMÁŠ ŘÍŠE ÄÖÜ Ä.".split()
NATURAL = [
    "5 × 3 ÷ 2 = ½ ± ¼", "£5 – €7 ¥900 ¢99", "25 °C / 77 °F", "© 2019 Ångström® ™", "§ 5 ¶ 2", "¿Qué? ¡Sí!", "µm ²³",
    "« Voilà »", "“Ça va?”", "Œuvre d’œil", "naïve coöperation", "señor Ñandú", "Škoda Žižka", "crème brûlée…", "à la carte",
    "Å is a letter", "Å i åa ä e ö", "Â ÂÂ", "ÃÃ", "Đà Nẵng", "ÉCOLE – Â", "Ô", "ßßß", "Ø 5 mm", "ÆØÅ", "ÐÞ ðþ", "Ññ", "Éé",
    "l’été à Paris — “déjà vu”…", "Müller & Söhne™", "João e Mãe", "MAÇÃ”", "AVÓ® É»", "é”…", "café’” x", "1° É° à½",
    "Ç’est l’été", "“À”", "à»", "è“x”", "Ö’l", "×2 ×3", "Ä‘", "Kč 50", "naïve™", "Ù”", "Ï…", "sœur", "SŒUR", "Œ", "œ.", "Ÿ",
]


def stub_torch():
    torch = types.ModuleType("torch")
    torch.Tensor = torch.LongTensor = object
    torch.long = None
    sys.modules.setdefault("torch", torch)
    sys.modules.setdefault("numpy", types.ModuleType("numpy"))


def load(path):
    spec = importlib.util.spec_from_file_location("oracle_" + path.replace("/", "_").replace(".", "_"), path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def texts():
    for text in CAPTIONS:
        yield "caption", text
        yield "caption", text.upper()
        yield "caption", unicodedata.normalize("NFD", text)
    yield from (("words", text) for text in CONTRACTIONS)
    yield from (("entities", text) for text in ENTITY_TEXTS)
    yield from (("controls", text) for text in CONTROLS)
    yield from (("natural", text) for text in UPPER + NATURAL)
    yield from place_names()
    yield from random_scripts()
    yield from random_emoji()
    yield from all_entities()
    yield from mojibake()
    for _ in range(60):
        data = bytes(random.choice(b"ab \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xed\xa0\xf4\x90\xff\xc0\x80") for _ in range(9))
        yield "invalid", data


def place_names():
    """Names of countries and languages, ten locales' scripts and more, in phrases."""
    locales = ("en fr de es it pt pl cs hu ro tr lt lv is vi ru uk bg sr el he ar fa ur hi mr bn pa gu or ta te kn ml si th lo "
               "my km ka hy am ti bo zh zh_Hant ja ko ne ps ckb ug mn kk az sq cy ga eu mt chr ii").split()
    for name in locales:
        locale = babel.Locale.parse(name)
        values = sorted(set(locale.territories.values())) + sorted(set(locale.languages.values()))
        for _ in range(13):
            chosen = random.sample(values, min(3, len(values)))
            yield "names", random.choice([", ", " ", " – ", "/", " & "]).join(chosen)


def random_scripts():
    for first, last in SCRIPTS.values():
        letters = [chr(c) for c in range(first, last + 1) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
        for _ in range(10):
            words = ["".join(random.choices(letters, k=random.randint(1, 7))) for _ in range(random.randint(1, 4))]
            yield "script", " ".join(words)
    for _ in range(60):
        pools = random.choices(list(SCRIPTS.values()), k=3)
        characters = [chr(random.randint(*pool)) for pool in pools for _ in range(4)]
        yield "script", "".join(c for c in characters if unicodedata.category(c) not in ("Cn", "Cs", "Co"))


def random_emoji():
    for _ in range(90):
        parts = random.choices(EMOJI + ["cat", "love", "!", "2"], k=random.randint(1, 5))
        yield "emoji", random.choice(["", " "]).join(parts)


def all_entities():
    names = sorted(html5)
    capitals = sorted({n.upper() for n in html5 if n.endswith(";") and n == n.lower()} - set(names))
    for group in (names, capitals):
        for i in range(0, len(group), 16):
            yield "entities", " ".join("&" + name for name in group[i:i + 16])
    for value in range(0, 0x100, 16):
        yield "entities", "".join(f"x&#{v};" for v in range(value, value + 16))


def sloppy(data):
    """windows-1252 with its five holes filled, as browsers read it."""
    return "".join(bytes([b]).decode("cp1252", "ignore") or chr(b) for b in data)


def mojibake():
    latin = [t for t in CAPTIONS if max(t) < "\u0590" and max(t) > "\x7f"]
    other = [t for t in CAPTIONS if max(t) >= "\u0590"]
    extra = ["“smart quotes” — it’s fine…", "naïve café", "£5 and 20 °C", "à la mode", "Ørsted ½ price ©", "I ❤ NY 😀", "日本 €5"]
    for text in latin + extra:
        yield "mojibake", sloppy(text.encode())
        yield "mojibake", text.encode().decode("latin-1")
        yield "mojibake", sloppy(sloppy(text.encode()).encode())
        yield "mojibake", "日本 " + sloppy(text.encode())
    for text in other:
        yield "mojibake", sloppy(text.encode())
        yield "mojibake", text.encode().decode("latin-1")
    words = sorted({w for t in latin for w in t.split() if max(w) > "\x7f"})
    for word in words:
        yield "mojibake word", sloppy(word.encode())
    for text in latin[:12]:
        yield "mojibake damaged", sloppy(text.encode()).replace("\xa0", " ")
        yield "mojibake damaged", sloppy(text.encode()).replace("\x81", "\ufffd").replace("\x9d", "\ufffd")
        for encoding in ("cp1251", "cp1250", "mac_roman", "cp437"):
            try:
                yield "mojibake other", text.encode().decode(encoding)
            except UnicodeDecodeError:
                pass


def main():
    wheels, out = sys.argv[1:]
    stub_torch()
    open_clip = load(f"{wheels}/open_clip/tokenizer.py").SimpleTokenizer()
    openai = load(f"{wheels}/clip/simple_tokenizer.py").SimpleTokenizer()
    seen, lines = set(), []
    for kind, text in texts():
        if text in seen:
            continue
        seen.add(text)
        record = {"kind": kind}
        if isinstance(text, bytes):
            record["bytes"] = text.hex()
            text = text.decode("utf-8", "replace")
        else:
            record["text"] = text
        record["ids"] = openai.encode(text)
        lowered = html.unescape(text).lower().replace("ſ", "s")
        if not any(word in lowered for word in ("oftext|>", "_of_text>")):
            assert open_clip.encode(text) == record["ids"], text
        lines.append(json.dumps(record, ensure_ascii=False, separators=(",", ":")))
    with open(out, "wb") as file:
        file.write(gzip.compress("\n".join(lines).encode(), 9, mtime=0))
    print(f"{len(lines)} texts", file=sys.stderr)


main()
