const entities: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

/** What stands between each `<name …>` and `</name>`. Enough for S3's answers: elements of one name never lie in each other. */
export function elementsOf(text: string, name: string): string[] {
  return [...text.matchAll(new RegExp(`<${name}(?:\\s[^>]*)?>(.*?)</${name}>`, 'gs'))].map(
    (found) => found[1]!,
  );
}

/** The text of the first such element, with its entities resolved; undefined without one. */
export function elementText(text: string, name: string): string | undefined {
  const found = elementsOf(text, name)[0];
  return found?.replace(/&(#x?[\da-f]+|\w+);/gi, (whole, entity: string) => {
    if (entity.startsWith('#x')) return String.fromCodePoint(Number.parseInt(entity.slice(2), 16));
    if (entity.startsWith('#')) return String.fromCodePoint(Number(entity.slice(1)));
    return entities[entity] ?? whole;
  });
}
