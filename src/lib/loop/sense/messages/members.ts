/** The member at a path such as `acc.x`; a member of just that name comes first. */
export function memberAt(value: Record<string, unknown>, path: string): unknown {
  if (Object.hasOwn(value, path)) return value[path];
  let at: unknown = value;
  for (const name of path.split('.')) {
    if (at === null || typeof at !== 'object' || !Object.hasOwn(at, name)) return undefined;
    at = (at as Record<string, unknown>)[name];
  }
  return at;
}

/** Brackets within brackets can be read at a depth at which they can no longer be written. */
function jsonOf(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return Array.isArray(value) ? '[…' : '{…';
  }
}

const decimal = /^[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?$/i;

/** A finite number, or a text that is one; NaN for anything else. */
export function numberIn(value: unknown): number {
  if (typeof value === 'number') return Number.isFinite(value) ? value : Number.NaN;
  return typeof value === 'string' && decimal.test(value.trim()) ? Number(value) : Number.NaN;
}

/** A value as a message shows it, short. */
export function shown(value: unknown): string {
  const text = jsonOf(value) ?? 'nothing';
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}
