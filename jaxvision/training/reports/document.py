"""The document that every page is: title, header, links to the sections, the sections, and how it all looks."""

import html
from collections.abc import Callable, Mapping

from jaxvision.training.reports.reading import Absent

STYLE = """
:root { --ink: #23272e; --muted: #6c727a; --rule: #deded8; --paper: #fdfdfb; color-scheme: light; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body { margin: 0 auto; padding: 3.5rem 1.25rem 5rem; max-width: 1000px; background: var(--paper); color: var(--ink);
  font: 1.0625rem/1.6 Charter, 'Bitstream Charter', 'Iowan Old Style', Georgia, serif; }
h1, h2, h3 { font-weight: 600; line-height: 1.2; }
h1 { margin: 0 0 1rem; font-size: 2.4rem; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h2 { margin: 3.75rem 0 1.25rem; padding-top: 1rem; border-top: 1px solid var(--rule); font-size: 1.45rem; }
h3 { margin: 2rem 0 0.5rem; font-size: 1.05rem; }
p { margin: 0 0 1rem; max-width: 44rem; }
a { color: inherit; text-decoration-color: var(--rule); text-underline-offset: 0.2em; }
nav, table, figcaption, .rungs, .numbers, .kind, .key, .note, .caption, .absent, dl, .settings, summary, ol, .errors {
  font-family: system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif; }
small { color: var(--muted); font-size: 0.86em; font-weight: 400; }
nav { display: flex; flex-wrap: wrap; gap: 0.25rem 1.1rem; margin-top: 1.75rem; color: var(--muted);
  font-size: 0.85rem; }
.kind { margin: 0 0 0.4rem; color: var(--muted); font-size: 0.85rem; }
.verdict { max-width: 46rem; margin-bottom: 2rem; font-size: 1.3rem; line-height: 1.45; }
.note, .caption, .absent, figcaption { color: var(--muted); font-size: 0.85rem; line-height: 1.5; }
.absent { font-style: italic; }
.numbers { display: grid; grid-template-columns: repeat(auto-fill, minmax(13.5rem, 1fr)); gap: 1.25rem 1.5rem;
  margin-bottom: 1rem; }
.numbers div { border-top: 2px solid var(--ink); padding-top: 0.4rem; }
.numbers span { display: block; color: var(--muted); font-size: 0.8rem; }
.numbers b { display: block; font-size: 1.35rem; line-height: 1.35; font-variant-numeric: tabular-nums; }
.numbers small { display: block; font-size: 0.82rem; line-height: 1.3; }
.stacked small { display: block; }
.tight { font-size: 0.84rem; }
.tight th, .tight td { padding-left: 0.6rem; }
.tight thead th { white-space: normal; }
.lists { display: grid; grid-template-columns: 1fr 1fr; gap: 0 1.5rem; }
.warning { max-width: 46rem; margin: 0 0 1.75rem; padding: 0.6rem 1rem; border-left: 3px solid #c2454f;
  background: #fbf1f0; }
.warning p, .warning ul { margin: 0.25rem 0; }
.rungs { display: grid; grid-template-columns: max-content 1fr; gap: 0 1.5rem; margin: 0 0 1rem; max-width: none; }
.rungs dt, .rungs dd { padding: 0.5rem 0; border-top: 1px solid var(--rule); }
.rungs dt { color: var(--ink); font-weight: 600; }
.rungs dd p { max-width: none; margin: 0 0 0.2rem; }
.errors { margin: 0 0 1rem; padding-left: 1.2rem; font-size: 0.88rem; }
.errors li { margin-bottom: 0.35rem; overflow-wrap: anywhere; }
.left td { text-align: left; white-space: normal; }
.scroll { overflow-x: auto; margin-bottom: 0.75rem; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; line-height: 1.35;
  font-variant-numeric: tabular-nums; }
th, td { padding: 0.38rem 0 0.38rem 1.1rem; text-align: right; font-weight: 400; white-space: nowrap; }
th:first-child { padding-left: 0; text-align: left; }
thead th { border-bottom: 1px solid var(--ink); color: var(--muted); font-size: 0.8rem; vertical-align: bottom; }
tbody tr + tr { border-top: 1px solid var(--rule); }
tbody:last-child { border-bottom: 1px solid var(--ink); }
th.group { padding-top: 0.9rem; font-weight: 600; }
.dot { display: inline-block; width: 0.6em; height: 0.6em; margin-right: 0.55em; border-radius: 50%; }
.pair, .trio { display: grid; gap: 1.75rem 1.25rem; margin-top: 1.25rem; align-items: start; }
.pair { grid-template-columns: repeat(auto-fill, minmax(min(100%, 27rem), 1fr)); }
.trio { grid-template-columns: repeat(auto-fill, minmax(min(100%, 17.5rem), 1fr)); }
figure { margin: 0; min-width: 0; }
img { display: block; max-width: 100%; height: auto; }
figcaption { margin-top: 0.35rem; max-width: 29rem; }
section > figure > figcaption { max-width: 44rem; }
section > figure + .scroll { margin-top: 1.75rem; }
.thumbnails { display: flex; flex-wrap: wrap; gap: 1.1rem 0.55rem; margin-bottom: 1rem; }
.thumbnails figure { width: 112px; }
.thumbnails img + img { margin-top: 4px; }
.thumbnails figcaption { font-size: 0.78rem; line-height: 1.35; color: var(--ink); overflow-wrap: anywhere; }
.pictures { display: flex; flex-wrap: wrap; gap: 1.2rem 0.9rem; margin-bottom: 1rem; align-items: flex-start; }
.pictures figure { width: min-content; }
.pictures img { max-width: none; }
.pictures img + img { margin-top: 4px; }
.pictures figcaption { font-size: 0.78rem; line-height: 1.35; color: var(--ink); overflow-wrap: anywhere; }
.key { margin: 0 0 0.9rem; max-width: none; color: var(--muted); font-size: 0.85rem; }
.key span + span { margin-left: 1.1rem; }
.pixels { image-rendering: pixelated; }
ol { margin: 0; padding-left: 1.6rem; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.35rem 1.5rem; margin: 0 0 1.25rem;
  font-size: 0.88rem; }
dt { color: var(--muted); }
dd { margin: 0; overflow-wrap: anywhere; }
summary { cursor: pointer; font-size: 0.9rem; }
figure + details, .pair + details { margin-top: 1rem; }
.settings { columns: 18rem; column-gap: 2rem; margin: 0.75rem 0 0; padding: 0; list-style: none;
  font: 0.78rem/1.65 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
.settings li { break-inside: avoid; overflow-wrap: anywhere; }
.settings span { color: var(--muted); }
@media (max-width: 640px) {
  body { padding: 2rem 1rem 4rem; }
  h1 { font-size: 1.9rem; }
  .verdict { font-size: 1.15rem; }
  .numbers { grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); }
  .thumbnails { column-gap: 0.3rem; }
  section > figure { overflow-x: auto; }
  section > figure > img { max-width: none; }
  td small { display: block; }
  dl, .rungs { grid-template-columns: 1fr; gap: 0; }
  .rungs dd { border-top: 0; padding-top: 0; }
  dd { margin-bottom: 0.6rem; }
}
@media print { nav { display: none; } figure, tr { break-inside: avoid; } body { max-width: none; } }
"""


def document(title: str, header: str, sections: Mapping[str, Callable[[], str]]) -> str:
    """One HTML file that needs no other and no network.

    Args:
      title: of the window, as text.
      header: HTML.
      sections: title -> what draws the section as HTML, or raises Absent: then the section says what is missing.
    """
    links, body = [], []
    for number, (name, draw) in enumerate(sections.items()):
        try:
            content = draw()
        except Absent as reason:
            content = f'<p class="absent">Left out: {html.escape(str(reason))}.</p>'
        links.append(f'<a href="#s{number}">{html.escape(name)}</a>')
        body.append(f'<section id="s{number}"><h2>{html.escape(name)}</h2>{content}</section>')
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{html.escape(title)}</title><style>{STYLE}</style></head>\n'
        f'<body>{header}<nav aria-label="Sections">{"".join(links)}</nav>\n' + '\n'.join(body) + '\n</body></html>\n'
    )
