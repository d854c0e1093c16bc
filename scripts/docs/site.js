import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { escapeHtml, renderMarkdown } from './markdown.js';

const beginning = 'docs/README.md';
/** Nothing is loaded but what lies beside the page. */
const policy = "default-src 'none'; style-src 'self'; img-src 'self'";

/**
 * The documents as a site of plain files: each page of docs/ and what it leads to, sources too.
 * @param {string} root
 * @param {string} style of the reports
 * @returns {{ files: Map<string, string | Buffer>, dead: string[] }} path on the site → content; links that lead nowhere, `PAGE: LINK`
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
    rendered.set(page, renderMarkdown(readFileSync(join(root, page), 'utf8'), lead));
  }
  for (const { page, to, full, place } of wanted) {
    if (!rendered.get(full)?.places.has(place)) dead.push(`${page}: ${to}`);
  }
  const sections = navigation(readFileSync(join(root, beginning), 'utf8'));
  for (const [path, page] of rendered) files.set(targetOf(root, path), frame(root, path, page, sections));
  return { files, dead };
}

function markdownIn(root) {
  const own = readdirSync(join(root, 'docs'), { recursive: true }).map((path) => `docs/${path}`);
  return ['README.md', ...own.filter((path) => path.endsWith('.md')).sort()];
}

/** Pages of docs/ lie at the top of the site, all other files of the repository below source/. */
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

/** Headings of the first page, and the pages that its tables name first. */
function navigation(text) {
  return text
    .split(/^## /m)
    .slice(1)
    .flatMap((section) => {
      const [title = ''] = section.split('\n');
      const links = [...section.matchAll(/\[([^\]]+)\]\(([^)#:]+\.md)\)/g)];
      const pages = links.map(([, name, to]) => ({ name, path: normalize(join('docs', to)) }));
      const own = pages.filter(({ path }, i) => pages.findIndex((page) => page.path === path) === i);
      return own.length > 2 ? [{ title, pages: own }] : [];
    });
}

function frame(root, path, { title, html }, sections) {
  const way = (to) => escapeHtml(wayTo(root, path, to));
  const entry = ({ name, path: to }) =>
    `<li><a href="${way(to)}"${to === path ? ' aria-current="page"' : ''}>${escapeHtml(name)}</a></li>`;
  const menu = sections.map(
    ({ title: name, pages }) => `<h2>${escapeHtml(name)}</h2><ul>${pages.map(entry).join('')}</ul>`,
  );
  const first = [beginning, 'docs/quick-start.md', 'docs/faq.md', 'docs/troubleshooting.md'];
  const names = ['Documentation', 'Quick start', 'Questions', 'Troubleshooting'];
  const top = first.map((to, i) => entry({ name: names[i], path: to }));
  const sheet = relative(dirname(targetOf(root, path)), 'site.css');
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>${escapeHtml(title)} · aiot</title>
<link rel="stylesheet" href="${sheet}"></head><body><a class="skip" href="#content">To the text</a>
<div class="site"><nav aria-label="Pages"><details open><summary>aiot</summary><ul>${top.join('')}</ul>${menu.join('\n')}</details></nav>
<main id="content">
${html}
</main></div></body></html>
`;
}

const siteStyle = `
.site{display:grid;grid-template-columns:230px minmax(0,1fr);max-width:1280px;margin:0 auto}
.site main{max-width:none;min-width:0;width:100%;margin:0;padding-top:32px;overflow-wrap:break-word}.site main>h2{text-transform:none;letter-spacing:0;font-size:19px;color:var(--ink)}
.site main p,.site main li{max-width:84ch}
nav{padding:32px 12px 48px 24px;font-size:14px;border-right:1px solid var(--rule)}
nav summary{font-weight:650;font-size:16px;color:var(--ink)}nav h2{margin:22px 0 6px;padding-top:12px}
nav ul{list-style:none;margin:8px 0 0;padding:0}nav li{margin:0}nav a{display:block;padding:2px 0}
nav a[aria-current]{color:var(--ink);font-weight:600}
a{color:var(--blue);text-decoration:none}a:hover,a:focus{text-decoration:underline}
pre{background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:12px 14px;overflow-x:auto}
pre code{font-size:12.5px}td code,p code,li code{overflow-wrap:anywhere}
blockquote{margin:0 0 10px;padding-left:14px;border-left:3px solid var(--rule);color:var(--soft)}
img{max-width:100%;height:auto}.skip{position:absolute;left:-999px}.skip:focus{left:8px;top:8px;background:var(--card);padding:6px 10px}
@media(max-width:820px){.site{grid-template-columns:minmax(0,1fr)}nav{order:2;border-right:0;border-top:1px solid var(--rule);padding:16px}}
@media print{nav{display:none}.site{display:block}}
`;
