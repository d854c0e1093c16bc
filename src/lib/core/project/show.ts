/** A value as messages show it: on one line, and short. */
export function show(value: unknown): string {
  if (value === undefined) return 'nothing';
  // JSON has no word for what .nan and .inf are.
  const text = typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? String(value));
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}
