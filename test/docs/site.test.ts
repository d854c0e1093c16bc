import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, normalize } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { highlight } from '../../scripts/docs/highlight.js';
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
  ])('renders %j', (text, html) => {
    expect(shown(text)).toBe(html);
  });

  it('renders tables with pipe characters in cells, right-aligned numbers, and no empty header row', () => {
    expect(shown('| a | b |\n| --- | --: |\n| `c\\|d` | 1 |')).toBe(
      '<div class="scroll" tabindex="0"><table><thead><tr><th>a</th><th class="number">b</th></tr></thead><tbody><tr><td><code>c|d</code></td><td class="number">1</td></tr></tbody></table></div>',
    );
    expect(shown('| | |\n| --- | --- |\n| c | d |')).not.toContain('<thead>');
  });

  it.each(['<div>a</div>', '- a\n  - b', '```\nno end'])('rejects unsupported markup: %j', (text) => {
    expect(() => shown(text)).toThrow();
  });
});

describe('the documentation site', () => {
  const { files, dead } = makeSite(root, reportStyle);
  const html = [...files]
    .filter(([path]) => path.endsWith('.html'))
    .map(([path, text]) => [path, String(text)] as const);
  const places = new Map(
    html.map(([path, text]) => [path, new Set([...text.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id))]),
  );

  it('contains every page with its title', () => {
    expect(dead).toEqual([]);
    expect([...files.keys()]).toEqual(
      expect.arrayContaining([
        'index.html',
        'start/quick-start.html',
        'start/motor.html',
        'reference/cli/index.html',
        'source/index.html',
        'images/demo.svg',
      ]),
    );
    expect(String(files.get('start/quick-start.html'))).toContain('<title>Quick start · aiot</title>');
  });

  it('links only to its own pages and to external addresses named in the documents', () => {
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

  it('loads and runs only files of the site', () => {
    for (const [path, text] of html) {
      expect(text, path).not.toMatch(
        /<iframe|<form| src="https?:|<link [^>]*href="https?:| on\w+="| style="|javascript:/,
      );
      expect(text, path).toContain(
        `content="default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'"`,
      );
      const scripts = text.match(/<script\b.*?<\/script>/gs) ?? [];
      expect(scripts, path).toHaveLength(1);
      const [, script = ''] = /^<script src="([^"]+)" defer><\/script>$/.exec(scripts[0] ?? '') ?? [];
      expect(normalize(join(dirname(path), script)), path).toBe('site.js');
    }
  });

  it('has a script that requests nothing and creates no markup or code from text', () => {
    const code = readFileSync(join(root, 'scripts', 'docs', 'browser.js'), 'utf8');
    expect(code).not.toMatch(
      /fetch|XMLHttpRequest|WebSocket|EventSource|sendBeacon|import\s*\(|eval|Function\(|innerHTML|outerHTML|insertAdjacent|https?:/,
    );
    expect(String(files.get('site.js'))).toMatch(/^\(\(\) => \{\nconst pages = \[\{"path":/);
  });

  it('has four kinds of pages in its menu, and the sections of the current page', () => {
    const page = String(files.get('start/quick-start.html'));
    const [menu = ''] = /<nav class="pages".*?<\/nav>/s.exec(page) ?? [];
    expect([...menu.matchAll(/<h2>(.*?)<\/h2>/g)].map(([, title]) => title)).toEqual([
      ...['Start', 'How-to guides', 'Reference', 'Background'],
    ]);
    expect(menu.match(/aria-current="page"/g)).toHaveLength(1);
    expect(menu).toMatch(/aria-current="page">Quick start<\/a><ul class="contents"><li><a href="#/);
  });

  it('leaves contributor decisions out of the menu and the search, but keeps links to them', () => {
    const page = String(files.get('start/quick-start.html'));
    const [menu = ''] = /<nav class="pages".*?<\/nav>/s.exec(page) ?? [];
    expect(menu).not.toContain('decisions/');
    expect(String(files.get('site.js'))).not.toContain('"path":"background/decisions/');
    expect(files.has('background/decisions/index.html')).toBe(true);
  });

  it('highlights commands, JSON, YAML and TypeScript at build time', () => {
    expect(highlight('aiot model push --dry-run # try', 'sh')).toBe(
      '<span class="hljs-title">aiot</span> model push <span class="hljs-attr">--dry-run</span> <span class="hljs-comment"># try</span>',
    );
    expect(highlight('npm link && aiot device list --selector type=esp32', 'sh')).toBe(
      'npm link &amp;&amp; <span class="hljs-title">aiot</span> device list <span class="hljs-attr">--selector</span> type=esp32',
    );
    expect(highlight('{ "a": 1 }', 'json')).toContain('<span class="hljs-attr">&quot;a&quot;</span>');
    expect(highlight('a: b', 'yaml')).toContain('<span class="hljs-attr">a:</span>');
    expect(highlight('const a = 1;', 'ts')).toContain('<span class="hljs-keyword">const</span>');
    expect(highlight('a <b>', 'text')).toBe('a &lt;b&gt;');
  });
});

describe('a site with missing pages', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'aiot-site-'));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  it('reports broken links', () => {
    const pages = {
      'README.md': '# A\n\n[docs](docs/README.md#no-such-place)\n',
      'docs/README.md': '# B\n\n[a](../README.md#a) [gone](gone.md) [here](#b) [not here](#c)\n',
      'docs/start/quick-start.md': '# Q\n',
      'docs/background/scope.md': '# S\n',
      'docs/how-to/troubleshooting.md': '# T\n',
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
