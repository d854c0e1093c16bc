// The script of the documentation site: search and copy buttons. `site.js` prepends the search index as `pages`, so no request is needed.

/** @typedef {[place: string, heading: string, text: string]} Section */
/** @type {{ path: string, title: string, sections: Section[] }[]} */
const index = pages;
const root = new URL('.', /** @type {HTMLScriptElement} */ (document.currentScript).src).href;
const mostResults = 12;

addSearch();
addCopyButtons();

function addSearch() {
  const place = document.querySelector('.search');
  if (!place) return;
  const input = element('input', { type: 'search', placeholder: 'Search', autocomplete: 'off' });
  input.setAttribute('aria-label', 'Search the documentation');
  input.setAttribute('aria-keyshortcuts', '/');
  const status = element('p', { className: 'unseen' });
  status.setAttribute('role', 'status');
  const list = element('ul', { className: 'results', hidden: true });
  list.setAttribute('aria-label', 'Search results');
  place.append(input, status, list);

  const show = () => {
    const found = search(input.value);
    const asked = input.value.trim() !== '';
    list.hidden = !asked;
    status.textContent = asked ? `${found.length} results` : '';
    list.replaceChildren(...found.map((one) => resultItem(one, wordsOf(input.value))));
    if (asked && found.length === 0) list.append(element('li', { textContent: 'No results' }));
  };
  const close = () => {
    list.hidden = true;
  };
  input.addEventListener('input', show);
  input.addEventListener('focus', show);
  place.addEventListener('focusout', (event) => {
    if (!place.contains(event.relatedTarget)) close();
  });
  place.addEventListener('keydown', (event) => {
    const links = [...list.querySelectorAll('a')];
    const at = links.indexOf(document.activeElement);
    if (event.key === 'Escape') {
      input.value = '';
      input.focus();
      close();
    } else if (event.key === 'ArrowDown') (links[at + 1] ?? links.at(-1))?.focus();
    else if (event.key === 'ArrowUp') (at <= 0 ? input : links[at - 1]).focus();
    else if (event.key === 'Enter' && document.activeElement === input) links[0]?.click();
    else return;
    event.preventDefault();
  });
  document.addEventListener('keydown', (event) => {
    if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey) return;
    if (/^(?:INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName ?? '')) return;
    event.preventDefault();
    input.focus();
  });
}

/** Sections that contain all words, best first; at most two per page. */
function search(text) {
  const words = wordsOf(text);
  if (words.length === 0) return [];
  const all = index.flatMap((page) =>
    page.sections
      .map((section) => ({ page, section, score: scoreOf(page, section, words) }))
      .filter(({ score }) => score > 0)
      .sort((a, b) => b.score - a.score)
      .slice(0, 2),
  );
  return all.sort((a, b) => b.score - a.score).slice(0, mostResults);
}

/** Score of a section; 0 if a word is missing. Words in titles count most, and a whole word counts more than the start of one. */
function scoreOf({ title, path }, [place, heading, text], words) {
  let score = 0;
  for (const word of words) {
    const inTitle = matchOf(title, word);
    // The part before a page's first heading has the page's title as its heading.
    const inHeading = matchOf(place === '' ? title : heading, word);
    const inText = matchOf(text, word);
    if (inTitle + inHeading + inText === 0) return 0;
    score += 8 * inTitle + 6 * inHeading + inText;
  }
  // Prefers guides to generated reference pages, and the top of a page to its sections.
  const kind = /^(?:start|how-to)\//.test(path) ? 1.3 : /^reference\/(?:cli|api|errors)/.test(path) ? 0.8 : 1;
  return score * kind + (place === '' ? 0.5 : 0);
}

/** How well a text matches a word: 0 = not at all, 1 = at the start of a word, 2 = as a whole word. */
function matchOf(text, word) {
  const lower = text.toLowerCase();
  let best = 0;
  for (let at = lower.indexOf(word); at >= 0 && best < 2; at = lower.indexOf(word, at + 1)) {
    if (at > 0 && /[\p{L}\p{N}]/u.test(lower[at - 1])) continue;
    best = /[\p{L}\p{N}]/u.test(lower[at + word.length] ?? '') ? Math.max(best, 1) : 2;
  }
  return best;
}

function wordsOf(text) {
  return text.toLowerCase().split(/\s+/).filter(Boolean);
}

function resultItem({ page, section: [place, heading, text] }, words) {
  const link = element('a', { href: `${root}${page.path}${place === '' ? '' : `#${place}`}` });
  const name = element('b', { textContent: heading === '' ? page.title : `${page.title} › ${heading}` });
  link.append(name, ...excerpt(text, words));
  const item = element('li', {});
  item.append(link);
  return item;
}

/** The text around the first match, with the words marked. */
function excerpt(text, words) {
  const lower = text.toLowerCase();
  const places = words.map((word) => lower.indexOf(word)).filter((at) => at >= 0);
  const first = places.length === 0 ? 0 : Math.min(...places);
  const from = first < 50 ? 0 : text.indexOf(' ', first - 50) + 1;
  const part = text.slice(from, from + 150);
  const line = element('span', {});
  let at = 0;
  while (at < part.length) {
    const rest = part.slice(at).toLowerCase();
    const next = words
      .map((word) => ({ word, start: rest.indexOf(word) }))
      .filter(({ start }) => start >= 0)
      .sort((a, b) => a.start - b.start)[0];
    if (!next) break;
    const start = at + next.start;
    line.append(
      part.slice(at, start),
      element('mark', { textContent: part.slice(start, start + next.word.length) }),
    );
    at = start + next.word.length;
  }
  line.append(part.slice(at), from + 150 < text.length ? ' …' : '');
  return text === '' ? [] : [line];
}

function addCopyButtons() {
  for (const block of document.querySelectorAll('pre')) {
    const box = element('div', { className: 'code' });
    block.replaceWith(box);
    const button = element('button', { type: 'button', className: 'copy', textContent: 'Copy' });
    button.setAttribute('aria-live', 'polite');
    button.addEventListener('click', async () => {
      button.textContent = (await copy(block.textContent ?? '')) ? 'Copied' : 'Not copied';
      setTimeout(() => {
        button.textContent = 'Copy';
      }, 1500);
    });
    box.append(block, button);
  }
}

/** Copies a text. Over plain HTTP there is no clipboard API, so the text is selected in an element and copied with a command. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = element('textarea', { value: text, className: 'unseen' });
    document.body.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    return done;
  }
}

function element(name, properties) {
  return Object.assign(document.createElement(name), properties);
}
