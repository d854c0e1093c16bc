/** Parts of aiot.yaml, by the path of their field. */
export interface Reads {
  /** Fields that a step reads. */
  only: string[];
  /** Fields among them that it does not. */
  without?: string[];
}

/**
 * aiot.yaml with some of its fields alone, as they were written: JSON, which is YAML too. Two files that say the same to a step have
 * the same text.
 */
export function settingsText(given: unknown, { only, without = [] }: Reads): string {
  const picked: Record<string, unknown> = {};
  for (const path of only) {
    const value = valueAt(given, path.split('.'));
    if (value !== undefined) put(picked, path.split('.'), structuredClone(value));
  }
  for (const path of without) drop(picked, path.split('.'));
  return `${JSON.stringify(picked, null, 2)}\n`;
}

function valueAt(value: unknown, path: string[]): unknown {
  return path.reduce<unknown>(
    (found, key) =>
      found !== null && typeof found === 'object' ? (found as Record<string, unknown>)[key] : undefined,
    value,
  );
}

function put(target: Record<string, unknown>, path: string[], value: unknown): void {
  const [key = '', ...rest] = path;
  if (rest.length === 0) target[key] = value;
  else {
    target[key] ??= {};
    put(target[key] as Record<string, unknown>, rest, value);
  }
}

function drop(target: Record<string, unknown>, path: string[]): void {
  const [key = '', ...rest] = path;
  if (rest.length === 0) delete target[key];
  else if (target[key] !== null && typeof target[key] === 'object')
    drop(target[key] as Record<string, unknown>, rest);
}
