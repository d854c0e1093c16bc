import { digestOf } from '../../core/crypto.js';

/** Files of an installation of the guide, sorted by name. */
export interface GuideListing {
  files: { name: string; url: string }[];
  /** Changes when a file is added or removed. */
  state: string;
}

const entities: Record<string, string> = { amp: '&', lt: '<', gt: '>', '#34': '"', '#39': "'" };

/**
 * Files with this extension in a folder, as listed by Go's file server. Links that lead out of the folder are ignored.
 * @param url the folder's URL, with a trailing slash
 * @param modified the folder's Last-Modified, which distinguishes a rewritten file from the previous one
 */
export function listingIn(url: string, html: string, modified: string, ending = 'csv'): GuideListing {
  const files = [...html.matchAll(/<a href="([^"]*)">/g)].flatMap(([, href = '']) => {
    const reference = href.replace(/&(\w+|#\d+);/g, (whole, name: string) => entities[name] ?? whole);
    const file = URL.canParse(reference, url) ? new URL(reference, url).href : '';
    const name = file.startsWith(url) ? decoded(file.slice(url.length)) : '';
    return /^[^/\\?#]+$/.test(name) && name.toLowerCase().endsWith(`.${ending}`) ? [{ name, url: file }] : [];
  });
  return { files, state: digestOf(`${files.map((each) => each.url).join('\n')}\n${modified}`) };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return '';
  }
}
