import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, normalize } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { renderMarkdown } from '../../scripts/docs/markdown.js';
import { makeSite } from '../../scripts/docs/site.js';
import { reportStyle } from '../../src/lib/formats/html.js';
import { root } from '../support/cli.js';

const shown = (text: string) => renderMarkdown(text, (to) => to).html;

describe('Markdown', () => {
  it.each([
    ['a < b & "c"', '<p>a &lt; b &amp; &quot;c&quot;</p>'],
    ['two\nlines', '<p>two\nlines</p>'],
    ['`a*b*` **b `c`** *d*', '<p><code>a*b*</code> <strong>b <code>c</code></strong> <em>d</em></p>'],
    ['2 * 3 * 4, a_b_c, `--x`', '<p>2 * 3 * 4, a_b_c, <code>--x</code></p>'],
    [
      '[`a` b](c.md#d) <https://e>',
      '<p><a href="c.md#d"><code>a</code> b</a> <a href="https://e">https://e</a></p>',
    ],
    ['![a "b"](c.svg)', '<p><img src="c.svg" alt="a &quot;b&quot;"></p>'],
    ['- a\n  b\n- c', '<ul><li>a\nb</li>\n<li>c</li></ul>'],
    ['1. a\n2. b', '<ol><li>a</li>\n<li>b</li></ol>'],
    ['> a\n> b', '<blockquote><p>a\nb</p></blockquote>'],
    ['<!-- run -->\n```sh\na <b>\n```', '<pre class="sh" tabindex="0"><code>a &lt;b&gt;</code></pre>'],
    ['## A `b-c` (d)²', '<h2 id="a-b-c-d">A <code>b-c</code> (d)²</h2>'],
    ['# A\n# A', '<h1 id="a">A</h1>\n<h1 id="a-1">A</h1>'],
  ])('%j', (text, html) => {
    expect(shown(text)).toBe(html);
  });

  it('has tables, with bars in their cells, numbers to the right, and a head only where it says something', () => {
    expect(shown('| a | b |\n| --- | --: |\n| `c\\|d` | 1 |')).toBe(
      '<div class="scroll" tabindex="0"><table><thead><tr><th>a</th><th class="number">b</th></tr></thead><tbody><tr><td><code>c|d</code></td><td class="number">1</td></tr></tbody></table></div>',
    );
    expect(shown('| | |\n| --- | --- |\n| c | d |')).not.toContain('<thead>');
  });

  it.each(['<div>a</div>', '- a\n  - b', '```\nno end'])('that is not known here is refused: %j', (text) => {
    expect(() => shown(text)).toThrow();
  });
});

describe('the site of the documents', () => {
  const { files, dead } = makeSite(root, reportStyle);
  const html = [...files]
    .filter(([path]) => path.endsWith('.html'))
    .map(([path, text]) => [path, String(text)] as const);
  const places = new Map(
    html.map(([path, text]) => [path, new Set([...text.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id))]),
  );

  it('has every page, with its title', () => {
    expect(dead).toEqual([]);
    expect([...files.keys()]).toEqual(
      expect.arrayContaining([
        'index.html',
        'quick-start.html',
        'tutorials/motor.html',
        'cli/index.html',
        'source/index.html',
        'demo.svg',
      ]),
    );
    expect(String(files.get('quick-start.html'))).toContain('<title>Quick start · aiot</title>');
  });

  it('leads nowhere but to itself, and to what people named', () => {
    const lost = html.flatMap(([path, text]) =>
      [...text.matchAll(/ (?:href|src)="([^"]*)"/g)].flatMap(([, to = '']) => {
        if (/^https?:/.test(to)) return [];
        const [file = '', place] = to.split('#');
        const full = file === '' ? path : normalize(join(dirname(path), file));
        const found = files.has(full) && (place === undefined || places.get(full)?.has(place));
        return found ? [] : [`${path}: ${to}`];
      }),
    );
    expect(lost).toEqual([]);
  });

  it('loads nothing from elsewhere and runs nothing', () => {
    for (const [path, text] of html) {
      expect(text, path).not.toMatch(
        /<script|<iframe|<form| src="https?:|<link [^>]*href="https?:| on\w+="| style="/,
      );
      expect(text, path).toContain("default-src 'none'");
    }
  });
});

describe('a site that has lost something', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'aiot-site-'));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  it('names the links that lead nowhere', () => {
    const pages = {
      'README.md': '# A\n\n[docs](docs/README.md#no-such-place)\n',
      'docs/README.md': '# B\n\n[a](../README.md#a) [gone](gone.md) [here](#b) [not here](#c)\n',
      'docs/quick-start.md': '# Q\n',
      'docs/faq.md': '# F\n',
      'docs/troubleshooting.md': '# T\n',
    };
    for (const [path, text] of Object.entries(pages)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text);
    }
    expect(makeSite(folder, '').dead.sort()).toEqual([
      'README.md: docs/README.md#no-such-place',
      'docs/README.md: #c',
      'docs/README.md: gone.md',
    ]);
  });
});
