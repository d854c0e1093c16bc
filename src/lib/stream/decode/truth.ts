// Shared with the dashboard.

/**
 * Interprets the result of a condition like JSONata's $boolean. These are true: true, a number other than 0, a non-empty string or object,
 * and a list with at least one true item.
 */
export function isTrue(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(isTrue);
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0;
  return Boolean(value);
}
