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
