import { digestOf } from '../../core/crypto.js';

/** Files at an installation of the guide, in the order of their names. */
export interface GuideListing {
  files: { name: string; url: string }[];
  /** Another one when a file has come or gone. */
  state: string;
}

const entities: Record<string, string> = { amp: '&', lt: '<', gt: '>', '#34': '"', '#39': "'" };

/**
 * Files of an ending in a folder as Go lists it. What points out of the folder is none of its files.
 * @param url of the folder, with a slash at its end
 * @param modified its Last-Modified, which tells a file that was written anew from the one before
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
