/** An object's non-empty members in short form, one after another. */
export function Values({ of }: { of: Record<string, unknown> }) {
  const shown = Object.entries(of).filter(([, value]) => !isEmpty(value));
  if (shown.length === 0) return null;
  return (
    <span class="values">
      {shown.map(([key, value]) => (
        <span key={key}>
          <span class="soft">{key}</span> {textOf(value)}
        </span>
      ))}
    </span>
  );
}

function isEmpty(value: unknown): boolean {
  if (value === null || value === undefined) return true;
  return typeof value === 'object' && Object.keys(value).length === 0;
}

/** A value in a message as text, with releases by name and digests abbreviated. */
export function textOf(value: unknown): string {
  if (typeof value === 'string') return /^sha256:/.test(value) ? value.slice(7, 19) : value;
  if (typeof value !== 'object' || value === null) return String(value);
  const { name, version } = value as { name?: unknown; version?: unknown };
  if (typeof name === 'string' && version !== undefined) return `${name}@${String(version)}`;
  return JSON.stringify(value).slice(0, 200);
}

/** The member of nested objects at a path such as `heap.free`; undefined = there is none. */
export function memberOf(value: unknown, path: string): unknown {
  return path
    .split('.')
    .reduce<unknown>(
      (at, key) => (at as Record<string, unknown> | null | undefined)?.[key],
      value ?? undefined,
    );
}

/** Sort key of a value in a table. */
export function keyOf(value: unknown): string | number | null {
  if (value === undefined || value === null) return null;
  return typeof value === 'number' ? value : textOf(value);
}

/** A value in a table, with a dash if there is none. */
export function shown(value: unknown) {
  return value === undefined || value === null ? <span class="soft">—</span> : textOf(value);
}
