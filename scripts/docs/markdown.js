// Converts Markdown, as used in these documents, to HTML: headings, paragraphs, single-level lists, tables, code, quotes; inline code,
// bold, italic, links, images. Anything else is rejected rather than rendered incorrectly.

const entities = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

/** @param {string} text */
export function escapeHtml(text) {
  return text.replace(/[&<>"]/g, (char) => entities[char]);
}

/**
 * @typedef {object} Rendered
 * @property {string} title text of the first heading
 * @property {string} html
 * @property {Set<string>} places valid fragments of links
 */

/**
 * @param {string} text
 * @param {(to: string) => string} link target of a link on the site
 * @param {(code: string, language: string) => string} [highlight] a block of code as HTML
 * @returns {Rendered}
 */
export function renderMarkdown(text, link, highlight = escapeHtml) {
  const lines = text.replace(/^<!--.*?-->$/gm, '').split('\n');
  const places = new Set();
  const parts = [];
  let title = '';
  while (lines.length > 0) {
    const line = lines[0];
    if (line.trim() === '') lines.shift();
    else if (/^ *```/.test(line)) parts.push(fence(lines, highlight));
    else if (/^#{1,6} /.test(line)) {
      const heading = headingOf(lines.shift(), link, places);
      title ||= heading.text;
      parts.push(heading.html);
    } else if (line.startsWith('|')) parts.push(table(take(lines, /^\|/), link));
    else if (/^(?:[-*]|\d+\.) /.test(line)) parts.push(list(lines, link, highlight));
    else if (line.startsWith('> ')) parts.push(quote(take(lines, /^> /), link));
    else if (/^(?:<[a-zA-Z/!]| {4}|\t|---$)/.test(line)) throw new Error(`unsupported Markdown: ${line}`);
    else parts.push(`<p>${inline(take(lines, /^(?!```|#{1,6} |\||[-*] |\s*$)/).join('\n'), link)}</p>`);
  }
  return { title, html: parts.join('\n'), places };
}

/** Removes and returns the leading lines that match. */
function take(lines, pattern) {
  const end = lines.findIndex((line) => !pattern.test(line));
  return lines.splice(0, end < 0 ? lines.length : Math.max(1, end));
}

function fence(lines, highlight) {
  const [, indent, language] = /^( *)```(\S*)/.exec(lines.shift());
  const end = lines.findIndex((line) => line.trim() === '```');
  if (end < 0) throw new Error('a code block is not closed');
  const code = lines.splice(0, end + 1).slice(0, -1);
  const text = code.map((line) => (line.startsWith(indent) ? line.slice(indent.length) : line)).join('\n');
  return `<pre${language ? ` class="${escapeHtml(language)}"` : ''} tabindex="0"><code>${highlight(text, language)}</code></pre>`;
}

function headingOf(line, link, places) {
  const [, marks, text] = /^(#{1,6}) (.+)$/.exec(line);
  const name = placeOf(text);
  let place = name;
  for (let n = 1; places.has(place); n++) place = `${name}-${n}`;
  places.add(place);
  const level = marks.length;
  const plain = text.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').replaceAll('`', '');
  return { text: plain, html: `<h${level} id="${place}">${inline(text, link)}</h${level}>` };
}

/** A heading's fragment, derived from its text as on GitHub; repeated names get a number. */
export function placeOf(heading) {
  return heading
    .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .trim()
    .toLowerCase()
    .replace(/[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\- ]/gu, '')
    .replaceAll(' ', '-');
}

function table([head, rule, ...rows], link) {
  const right = cells(rule).map((cell) => cell.endsWith(':'));
  const row = (line, tag) => {
    const shown = cells(line).map((cell, i) => {
      const kind = right[i] ? ' class="number"' : '';
      return `<${tag}${kind}>${inline(cell, link)}</${tag}>`;
    });
    return `<tr>${shown.join('')}</tr>`;
  };
  // Tables of two columns often have empty headers, which are omitted.
  const top = cells(head).some((cell) => cell !== '') ? `<thead>${row(head, 'th')}</thead>` : '';
  const body = rows.map((line) => row(line, 'td')).join('\n');
  return `<div class="scroll" tabindex="0"><table>${top}<tbody>${body}</tbody></table></div>`;
}

/** The cells of a row. An escaped bar is part of its cell. */
function cells(line) {
  const inner = line.trim().replace(/^\|/, '').replace(/\|$/, '');
  return inner.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll('\\|', '|'));
}

function list(lines, link, highlight) {
  const ordered = /^\d/.test(lines[0]);
  const mark = ordered ? /^\d+\. / : /^[-*] /;
  const items = [];
  while (lines.length > 0 && mark.test(lines[0])) {
    const [first] = lines.splice(0, 1);
    const parts = [first.replace(mark, '')];
    while (lines.length > 0 && /^\s+\S/.test(lines[0]) && !/^\s+(?:```|[-*] |\d+\. )/.test(lines[0]))
      parts.push(lines.shift().trim());
    if (/^\s+(?:[-*]|\d+\.) /.test(lines[0] ?? '')) throw new Error(`nested list: ${lines[0]}`);
    const code = /^\s+```/.test(lines[0] ?? '') ? fence(lines, highlight) : '';
    items.push(`<li>${inline(parts.join('\n'), link)}${code}</li>`);
    // Blank lines may separate items.
    if (lines[0] === '' && mark.test(lines[1] ?? '')) lines.shift();
  }
  return ordered ? `<ol>${items.join('\n')}</ol>` : `<ul>${items.join('\n')}</ul>`;
}

function quote(lines, link) {
  return `<blockquote><p>${inline(lines.map((line) => line.slice(2)).join('\n'), link)}</p></blockquote>`;
}

const spans =
  /(?<code>`[^`]+`)|(?<picture>!\[(?<alt>[^\]]*)\]\((?<source>[^)\s]+)\))|(?<link>\[(?<text>(?:`[^`]*`|[^\]`])+)\]\((?<to>[^)\s]+)\))|<(?<url>https?:[^>\s]+)>|\*\*(?<bold>(?:`[^`]*`|[^`])+?)\*\*|(?<![\w*])\*(?<italic>(?:`[^`]*`|[^*\s`])(?:`[^`]*`|[^*`])*?)\*(?![\w*])|\\(?<plain>[\\`*_[\]<>|#])/g;

/** The inline elements of a line. */
function inline(text, link) {
  let shown = '';
  let from = 0;
  for (const match of text.matchAll(spans)) {
    shown += escapeHtml(text.slice(from, match.index)) + span(match.groups, link);
    from = match.index + match[0].length;
  }
  return shown + escapeHtml(text.slice(from));
}

function span(groups, link) {
  const { code, picture, alt, source, text, to, url, bold, italic, plain } = groups;
  if (code !== undefined) return `<code>${escapeHtml(code.slice(1, -1))}</code>`;
  if (picture !== undefined) return `<img src="${escapeHtml(link(source))}" alt="${escapeHtml(alt)}">`;
  if (to !== undefined) return `<a href="${escapeHtml(link(to))}">${inline(text, link)}</a>`;
  if (url !== undefined) return `<a href="${escapeHtml(url)}">${escapeHtml(url)}</a>`;
  if (bold !== undefined) return `<strong>${inline(bold, link)}</strong>`;
  if (italic !== undefined) return `<em>${inline(italic, link)}</em>`;
  return escapeHtml(plain);
}
