/** A value as messages show it: on one line, and short. */
export function show(value: unknown): string {
  if (value === undefined) return 'nothing';
  // JSON has no word for .nan and .inf, nor for a bigint.
  const text =
    typeof value === 'number' || typeof value === 'bigint'
      ? String(value)
      : (JSON.stringify(value) ?? String(value));
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}
