/** What stands in a folder's listing. */
export interface ListedName {
  name: string;
  folder: boolean;
}

/**
 * A folder as Go's http.FileServer showed it up to Go 1.21: `<pre>`, a line each, `</pre>`. The guide's Python steps parse it
 * as XML, so a `&` in a reference is escaped, which Go's was not. Entries come in the order of their names' bytes.
 */
export function listingOf(entries: readonly ListedName[]): string {
  const lines = entries
    .map(({ name, folder }) => (folder ? `${name}/` : name))
    .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    .map((name) => `<a href="${escaped(referenceTo(name))}">${escaped(name)}</a>\n`);
  return `<pre>\n${lines.join('')}</pre>\n`;
}

/**
 * A name as a relative reference, as Go's url.URL{Path: name}.String() has it: a colon in the first segment would make it a
 * scheme, so `./` goes before it (RFC 3986, 4.2).
 */
export function referenceTo(name: string): string {
  const path = escapedPath(name);
  const first = path.split('/', 1)[0] ?? '';
  return first.includes(':') ? `./${path}` : path;
}

/** A path's characters as Go's url package leaves or escapes them. */
export function escapedPath(path: string): string {
  return path.replace(/[^A-Za-z0-9\-_.~$&+,/:;=@]/gu, (character) =>
    [...Buffer.from(character)]
      .map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`)
      .join(''),
  );
}

const entities: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&#34;',
  "'": '&#39;',
};

/** As Go's html.EscapeString. */
export function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => entities[character] ?? character);
}
