import { posix } from 'node:path';

/** What a request's target asks for. */
export type Target =
  /** The path decoded and clean, beginning with `/`. */
  | { kind: 'path'; path: string; query: URLSearchParams; search: string }
  /** It is to be asked for by another path. */
  | { kind: 'moved'; path: string; search: string }
  | { kind: 'malformed' };

/**
 * A request target as Go's ServeMux reads it: decoded, then cleaned of `//`, `.` and `..`; one that was not clean is
 * answered with a redirect to the clean one, which the guide's clients follow. No path ever reaches a file system: it is
 * looked up among names.
 */
export function targetOf(url: string): Target {
  const own = url.replace(/^https?:\/\/[^/?#]*/i, '');
  const mark = own.indexOf('?');
  const raw = mark < 0 ? own : own.slice(0, mark);
  const search = mark < 0 ? '' : own.slice(mark);
  const path = decoded(raw);
  if (path === undefined || !path.startsWith('/')) return { kind: 'malformed' };
  const clean = cleaned(path);
  if (clean !== path) return { kind: 'moved', path: clean, search };
  return { kind: 'path', path, search, query: new URLSearchParams(search) };
}

function decoded(path: string): string | undefined {
  try {
    const text = decodeURIComponent(path);
    return text.includes('\0') ? undefined : text;
  } catch {
    return undefined;
  }
}

function cleaned(path: string): string {
  const clean = posix.normalize(path);
  // A last segment of dots names a folder without a slash behind it, for Go.
  if (/\/\.{1,2}$/.test(path)) return clean === '/' ? clean : clean.replace(/\/$/, '');
  return clean;
}
