import { nearest, type Problem } from '../../core/index.js';

/** Where `${NAME}` gets its value: what was set goes before the environment. */
export interface Variables {
  set?: Readonly<Record<string, string>>;
  environment?: Readonly<Record<string, string | undefined>>;
}

const pattern = /\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}/g;

/**
 * Fills `${NAME}` and `${NAME:-default}` in every text of a file's values; `$${` stands for `${`. A default is used where the
 * variable is missing or empty, as in a shell. Other uses of `${` stay, for JSONata groups with it.
 */
export function fillVariables(
  value: unknown,
  { set = {}, environment = {} }: Variables,
): { value: unknown; problems: Problem[] } {
  const problems: Problem[] = [];
  const given = (name: string) => (Object.hasOwn(set, name) ? set[name] : environment[name]);
  const fill = (text: string, path: PropertyKey[]) =>
    text.replaceAll(pattern, (whole, name: string | undefined, fallback: string | undefined) => {
      if (name === undefined) return '${';
      const found = given(name);
      if (found !== undefined && (found !== '' || fallback === undefined)) return found;
      if (fallback !== undefined) return fallback;
      const near = nearest(name, [...Object.keys(set), ...Object.keys(environment)]);
      const hint = near ? `, or did you mean ${near}?` : '';
      problems.push({
        path,
        message: `the variable ${name} has no value: --set ${name}=VALUE, the environment, or \${${name}:-default}${hint}`,
      });
      return whole;
    });
  const walk = (node: unknown, path: PropertyKey[]): unknown => {
    if (typeof node === 'string') return fill(node, path);
    if (Array.isArray(node)) return node.map((item, index) => walk(item, [...path, index]));
    if (node !== null && typeof node === 'object') {
      return Object.fromEntries(
        Object.entries(node).map(([name, item]) => [name, walk(item, [...path, name])]),
      );
    }
    return node;
  };
  return { value: walk(value, []), problems };
}
