import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { highlight } from './highlight.js';
import { escapeHtml, renderMarkdown } from './markdown.js';

const beginning = 'docs/README.md';
/** Pages may load only the site's own files, and run only its script. */
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'";
/** Title and folder of the four kinds of pages, in the order of the menu. */
const kinds = [
  ['Start', 'docs/start/'],
  ['How-to guides', 'docs/how-to/'],
  ['Reference', 'docs/reference/'],
  ['Background', 'docs/background/'],
];

/**
 * Creates a static site of the documents: each page of docs/ and the files to which it links, including sources.
 * @param {string} root
 * @param {string} style of the reports
 * @returns {{ files: Map<string, string | Buffer>, dead: string[] }} path on the site → content; dead links, as `PAGE: LINK`
 */
export function makeSite(root, style) {
  const files = new Map([['site.css', `${style}${siteStyle}`]]);
  const rendered = new Map();
  const wanted = [];
  const dead = [];
  const queue = [beginning, ...markdownIn(root)];
  for (let path = queue.shift(); path !== undefined; path = queue.shift()) {
    if (rendered.has(path) || files.has(targetOf(root, path))) continue;
    if (!path.endsWith('.md')) {
      const folder = statSync(join(root, path)).isDirectory();
      const entries = folder ? readdirSync(join(root, path)).sort() : [];
      if (folder) rendered.set(path, listing(root, path, entries));
      else files.set(targetOf(root, path), readFileSync(join(root, path)));
      queue.push(...entries.map((entry) => `${path}/${entry}`));
      continue;
    }
    const page = path;
    const lead = (to) => {
      const [file = '', place] = to.split('#');
      if (/^[a-z]+:/.test(to)) return to;
      const full = file === '' ? page : normalize(join(dirname(page), file)).replace(/\/$/, '');
      if (!existsSync(join(root, full))) dead.push(`${page}: ${to}`);
      else {
        queue.push(full);
        if (place !== undefined && full.endsWith('.md')) wanted.push({ page, to, full, place });
      }
      const way = file === '' ? '' : wayTo(root, page, full);
      return place === undefined ? way : `${way}#${place}`;
    };
    rendered.set(page, renderMarkdown(readFileSync(join(root, page), 'utf8'), lead, highlight));
  }
  for (const { page, to, full, place } of wanted) {
    if (!rendered.get(full)?.places.has(place)) dead.push(`${page}: ${to}`);
  }
  const titleOf = (path) => rendered.get(path)?.title ?? path;
  const menu = menuOf(readFileSync(join(root, beginning), 'utf8'));
  for (const [path, page] of rendered)
    files.set(targetOf(root, path), frame(root, path, page, { menu, titleOf }));
  files.set('site.js', siteScript(root, rendered));
  return { files, dead };
}

function markdownIn(root) {
  const own = readdirSync(join(root, 'docs'), { recursive: true }).map((path) => `docs/${path}`);
  return ['README.md', ...own.filter((path) => path.endsWith('.md')).sort()];
}

/** Pages of docs/ are at the top of the site, all other files of the repository below source/. */
function targetOf(root, path) {
  const place = /^docs(?:\/|$)/.test(path) ? path.slice('docs/'.length) : `source/${path}`;
  if (path.endsWith('.md'))
    return place.replace(/(?:(^|\/)README)?\.md$/, (_, before) =>
      before === undefined ? '.html' : `${before}index.html`,
    );
  return statSync(join(root, path)).isDirectory() ? join(place, 'list.html') : place;
}

function wayTo(root, page, full) {
  return relative(dirname(targetOf(root, page)), targetOf(root, full)) || '.';
}

function listing(root, path, entries) {
  const items = entries.map((entry) => `- [${entry}](${entry})`).join('\n');
  return renderMarkdown(`# ${path}\n\n${items}\n`, (to) => wayTo(root, path, `${path}/${to}`));
}

/**
 * The pages listed in the index, by kind and, within a kind, by heading of the index. A heading belongs to the kind of most of its pages.
 * A kind with a single heading is shown without groups.
 */
function menuOf(text) {
  const sections = text
    .split(/^## /m)
    .slice(1)
    .map((section) => ({
      title: section.split('\n')[0] ?? '',
      pages: [...section.matchAll(/\]\(([^)#:]+\.md)\)/g)].map(([, to]) => normalize(join('docs', to))),
    }));
  return kinds.flatMap(([title, folder]) => {
    const groups = sections
      .filter(({ pages }) => mostlyIn(folder, pages))
      .map((section) => ({ ...section, pages: [...new Set(section.pages)] }));
    return groups.length === 0 ? [] : [{ title, groups }];
  });
}

function mostlyIn(folder, pages) {
  return pages.filter((page) => page.startsWith(folder)).length > pages.length / 2;
}

function frame(root, path, { title, html }, { menu, titleOf }) {
  const way = (to) => escapeHtml(wayTo(root, path, to));
  const beside = (file) => relative(dirname(targetOf(root, path)), file);
  const entry = (to, name = titleOf(to)) =>
    to === path
      ? `<li><a href="${way(to)}" aria-current="page">${escapeHtml(name)}</a>${contents(html)}</li>`
      : `<li><a href="${way(to)}">${escapeHtml(name)}</a></li>`;
  const list = (pages) => `<ul>${pages.map((to) => entry(to)).join('')}</ul>`;
  const groupOf = ({ title: name, pages }) =>
    `<details${pages.includes(path) ? ' open' : ''}><summary>${escapeHtml(name)}</summary>${list(pages)}</details>`;
  const sections = menu.map(({ title: name, groups }) => {
    const inside = groups.length === 1 ? list(groups[0].pages) : groups.map(groupOf).join('');
    return `<h2>${escapeHtml(name)}</h2>${inside}`;
  });
  const top = [
    [beginning, 'Documentation'],
    ['docs/start/quick-start.md', 'Quick start'],
    ['docs/background/scope.md', 'Is aiot for me?'],
    ['docs/how-to/troubleshooting.md', 'Troubleshooting'],
  ].map(([to, name]) => `<a href="${way(to)}"${to === path ? ' aria-current="page"' : ''}>${name}</a>`);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>${escapeHtml(title)} · aiot</title>
<link rel="stylesheet" href="${beside('site.css')}"><script src="${beside('site.js')}" defer></script></head><body><a class="skip" href="#content">Skip to content</a>
<header class="top"><a class="brand" href="${way(beginning)}">aiot</a><nav class="links" aria-label="Site">${top.join('')}<a class="menu" href="#pages">Pages</a></nav><div class="search"></div></header>
<div class="site"><nav class="pages" id="pages" aria-label="Pages">${sections.join('\n')}</nav>
<main id="content">
${html}
</main></div></body></html>
`;
}

/** The second-level headings of a page; no list if there are fewer than two. */
function contents(html) {
  const headings = [...html.matchAll(/<h2 id="([^"]+)">(.*?)<\/h2>/g)];
  if (headings.length < 2) return '';
  const items = headings.map(([, place, inside]) => `<li><a href="#${place}">${textOf(inside)}</a></li>`);
  return `<ul class="contents">${items.join('')}</ul>`;
}

/** The text of an HTML fragment, still escaped, without markup. */
function textOf(html) {
  return html.replace(/<[^>]*>/g, '');
}

/** The site's only script: the search code, and its index of all pages of docs/ except the decisions, which are for contributors. */
function siteScript(root, rendered) {
  const pages = [...rendered]
    .filter(([path]) => /^(?:docs\/(?!background\/decisions\/).*|README|ARCHITECTURE)\.md$/.test(path))
    .map(([path, { title, html }]) => ({ path: targetOf(root, path), title, sections: sectionsOf(html) }));
  const code = readFileSync(fileURLToPath(new URL('browser.js', import.meta.url)), 'utf8');
  return `(() => {\nconst pages = ${JSON.stringify(pages)};\n${code}})();\n`;
}

/** The text of a page by heading. The part below the title has neither a fragment nor a heading. */
function sectionsOf(html) {
  return html.split(/(?=<h[1-6] id=")/).map((part) => {
    const [whole, level, place, inside] = /^<h([1-6]) id="([^"]+)">(.*?)<\/h\d>/.exec(part) ?? ['', '1'];
    const text = plain(part.slice(whole.length));
    return level === '1' ? ['', '', text] : [place, plain(inside), text];
  });
}

function plain(html) {
  return textOf(html.replace(/<\/(?:td|th|li|p|pre|tr)>/g, ' '))
    .replace(
      /&(lt|gt|quot|amp|#x27);/g,
      (_, name) => ({ lt: '<', gt: '>', quot: '"', amp: '&', '#x27': "'" })[name],
    )
    .replace(/\s+/g, ' ')
    .trim();
}

const siteStyle = `
:root{--code-word:#a4480f;--code-text:#2a7247}
@media(prefers-color-scheme:dark){:root{--code-word:#e89a5e;--code-text:#79c797}}
html{scroll-padding-top:70px}
.top{position:sticky;top:0;z-index:2;display:flex;flex-wrap:wrap;gap:6px 22px;align-items:center;padding:10px 24px;
background:var(--ground);border-bottom:1px solid var(--rule)}
.brand{font-weight:700;font-size:18px;letter-spacing:-.02em;color:var(--ink)}
.links{display:flex;flex-wrap:wrap;gap:2px 18px;font-size:14px}.links [aria-current]{color:var(--ink);font-weight:600}.menu{display:none}
.search{position:relative;margin-left:auto;width:min(320px,100%)}
.search input{width:100%;font:inherit;font-size:14px;color:inherit;background:var(--card);border:1px solid var(--soft);border-radius:7px;padding:6px 10px}
.results{position:absolute;right:0;top:calc(100% + 6px);width:min(560px,calc(100vw - 32px));max-height:70vh;overflow-y:auto;list-style:none;margin:0;
padding:6px;background:var(--card);border:1px solid var(--rule);border-radius:9px;box-shadow:0 10px 30px rgb(0 0 0/18%)}
.results[hidden]{display:none}.results li{padding:0;color:var(--soft)}.results li:not(:has(a)){padding:8px 10px}
.results a{display:block;padding:7px 10px;border-radius:6px}.results a:hover,.results a:focus{background:color-mix(in srgb,var(--blue) 10%,var(--card));text-decoration:none}
.results b{display:block;color:var(--ink);font-weight:600;font-size:14px}.results span{display:block;color:var(--soft);font-size:13px;overflow-wrap:anywhere}
mark{background:color-mix(in srgb,var(--blue) 24%,transparent);color:var(--ink);border-radius:2px}
.unseen{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.site{display:grid;grid-template-columns:270px minmax(0,1fr);max-width:1320px;margin:0 auto}
.site main{max-width:none;min-width:0;width:100%;margin:0;padding-top:32px;overflow-wrap:break-word}
.site main>h2{text-transform:none;letter-spacing:0;font-size:19px;color:var(--ink)}
.site main p,.site main li{max-width:84ch}
.pages{padding:24px 14px 48px 24px;font-size:14px;line-height:1.4;border-right:1px solid var(--rule)}
.pages h2{margin:22px 0 8px;padding-top:14px}.pages h2:first-child{margin-top:0;padding-top:0;border-top:0}
.pages summary{padding:3px 0;color:var(--ink)}.pages details{margin:0;font-size:14px}
.pages ul{list-style:none;margin:0;padding:0}.pages details>ul,.pages .contents{margin:0 0 6px 3px;padding-left:12px;border-left:1px solid var(--rule)}
.pages li{margin:0}.pages a{display:block;padding:3px 0}.pages a[aria-current]{color:var(--ink);font-weight:600}.contents a{font-size:13px;color:var(--soft)}
main :is(p,li,dd,td) a{text-decoration:underline;text-underline-offset:2px;text-decoration-thickness:1px}
a{color:var(--blue);text-decoration:none}a:hover,a:focus{text-decoration:underline}
:focus-visible{outline:2px solid var(--blue);outline-offset:1px}
.code{position:relative}.copy{position:absolute;top:7px;right:7px;font:inherit;font-size:12px;color:var(--soft);background:var(--card);
border:1px solid var(--rule);border-radius:6px;padding:2px 8px;cursor:pointer;opacity:0}
.code:hover .copy,.copy:focus-visible{opacity:1}.copy:hover{color:var(--ink)}@media(hover:none){.copy{opacity:1}.code pre{padding-top:38px}}
.scroll{margin-bottom:14px}pre{background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:12px 14px;overflow-x:auto}
pre code{font-size:12.5px}td code,p code,li code{overflow-wrap:anywhere}td:first-child code{overflow-wrap:break-word}td:first-child:has(code){min-width:7.5em}
.hljs-comment,.hljs-meta{color:var(--soft)}.hljs-string,.hljs-regexp{color:var(--code-text)}.hljs-title{font-weight:600}
.hljs-attr,.hljs-attribute,.hljs-type,.hljs-property{color:var(--blue)}
.hljs-keyword,.hljs-built_in,.hljs-literal,.hljs-number,.hljs-variable,.hljs-subst,.hljs-symbol{color:var(--code-word)}
blockquote{margin:0 0 10px;padding-left:14px;border-left:3px solid var(--rule);color:var(--soft)}
img{max-width:100%;height:auto}.skip{position:absolute;left:-999px}.skip:focus{left:8px;top:8px;z-index:3;background:var(--card);padding:6px 10px}
@media(max-width:820px){.site{grid-template-columns:minmax(0,1fr)}.pages{order:2;border-right:0;border-top:1px solid var(--rule);padding:16px}
.top{position:relative;padding:10px 16px}.menu{display:inline}.search{width:100%}.results{left:0;right:auto}.site main{padding:20px 16px 32px}
.links a:not(.menu){display:none}.links{margin-left:auto}}
@media print{.pages,.top,.copy{display:none}.site{display:block}}
`;
