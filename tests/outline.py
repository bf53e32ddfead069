"""What a reader finds on an HTML page."""

import html.parser
import re


class Outline(html.parser.HTMLParser):
    """What a reader finds: headings, images, addresses and text; it fails on tags that do not close in order."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.images: list[dict] = []
        self.addresses: list[str] = []
        words: list[str] = []
        self._words = words
        self.feed(text)
        assert not self.open
        self.text = ' '.join(' '.join(words).split())
        assert not re.search(r'\b(nan|NaN|None|inf)\b', self.text)
        assert all(image['alt'] for image in self.images)
        assert not re.search(r'\b(nan|None)\b', ' '.join(image['alt'] for image in self.images))
        assert all(address.startswith(('data:', '#')) for address in self.addresses)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.addresses += [str(values[key]) for key in ('src', 'href') if key in values]
        if tag == 'img':
            self.images.append(values)
        elif tag not in ('meta', 'link'):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == 'h2':
            self.headings.append(data)
        if 'style' not in self.open:
            self._words.append(data)
