import { existsSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { renderMarkdown } from '../../../scripts/docs/markdown.js';
import { root } from '../cli.js';
import { pageText } from './pages.js';

const known = new Map<string, Set<string>>();

/** Links of a page to a place in a page that is not there. */
export function deadAnchors(page: string): string[] {
  const links = [...pageText(page).matchAll(/\]\(([^)#\s]*)#([^)\s]+)\)/g)];
  return links.flatMap(([, to = '', place = '']) => {
    if (/^https?:/.test(to)) return [];
    const file = to === '' ? page : normalize(join(dirname(page), to));
    if (!file.endsWith('.md') || !existsSync(join(root, file))) return [];
    const places = known.get(file) ?? renderMarkdown(pageText(file), String).places;
    known.set(file, places);
    return places.has(place) ? [] : [`${to}#${place}`];
  });
}
