import type { Property } from './field.js';

/** The settings of a schema by their paths: properties of nested objects, and whole values of other types. */
export function leavesOf(schema: Record<string, unknown>, above = ''): Map<string, Property> {
  const properties = Object.entries((schema.properties ?? {}) as Record<string, Record<string, unknown>>);
  return new Map(
    properties.flatMap(([key, property]): [string, Property][] => {
      // A path cannot name a key with a dot.
      if (key.includes('.')) return [];
      const path = above + key;
      return property.properties ? [...leavesOf(property, `${path}.`)] : [[path, property as Property]];
    }),
  );
}

/** The value inside one object for each part of its path. */
export function nested(path: string, value: unknown): Record<string, unknown> {
  const keys = path.split('.');
  return keys.reduceRight<unknown>((inner, key) => ({ [key]: inner }), value) as Record<string, unknown>;
}
