/**
 * An empty record for names that others chose. It inherits nothing: `constructor` and `__proto__` are names like any, where a plain
 * object finds what all objects have under them, changes that, or keeps nothing.
 */
export function dictionary<Value>(): Record<string, Value> {
  return Object.create(null) as Record<string, Value>;
}
