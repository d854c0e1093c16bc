// A room's index names all that other rooms may use. Whoever imports one thing through it would have the whole room loaded: the code
// that entries share is cut by what imports what, not by what uses what. So the built program imports each thing from the file that
// makes it. Nothing happens at import, so a file that nothing is used of need not be there.
import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

const named = /^(import|export) \{([^}]*)\} from ["'](\.[^"']+)["'];/gm;
const all = /^export \* from ["'](\.[^"']+)["'];/gm;
const declared = /^export (?:async )?(?:const|let|function\*?|class) (\w+)/gm;
const listed = /^export \{([^}]*)\};/gm;
/** Zod as it is imported gives all of itself, the words of 40 languages with it; as a namespace, what is used. */
const zod = /^import \{ z \} from ["']zod["'];/m;

/** @typedef {{ own: Set<string>, given: Map<string, [file: string, name: string]>, whole: string[] }} Exports */

/** @type {Map<string, Exports>} */
const known = new Map();

/**
 * What a compiled file exports: its own, single things given on, and files given on whole.
 * @param {string} file
 * @returns {Exports}
 */
function exportsOf(file) {
  const before = known.get(file);
  if (before) return before;
  const text = readFileSync(file, 'utf8');
  const at = (/** @type {string} */ from) => join(dirname(file), from);
  /** @type {Exports} */
  const found = { own: new Set(), given: new Map(), whole: [] };
  /** What the file imports: esbuild writes `export { a } from './a.js'` as an import and an export. @type {typeof found.given} */
  const imported = new Map();
  for (const [, kind, list = '', from = ''] of text.matchAll(named)) {
    const names = kind === 'export' ? found.given : imported;
    for (const { name, as } of namesIn(list)) names.set(as, [at(from), name]);
  }
  for (const [, from = ''] of text.matchAll(all)) found.whole.push(at(from));
  for (const [, name = ''] of text.matchAll(declared)) found.own.add(name);
  for (const [, list = ''] of text.matchAll(listed)) {
    for (const { name, as } of namesIn(list)) {
      const origin = imported.get(name);
      if (origin) found.given.set(as, origin);
      else found.own.add(as);
    }
  }
  known.set(file, found);
  return found;
}

/**
 * `a, b as c` of an import or export.
 * @param {string} list
 */
function namesIn(list) {
  return list
    .split(',')
    .map((part) => part.trim().split(/\s+as\s+/))
    .flatMap(([name, as]) => (name ? [{ name, as: as ?? name }] : []));
}

/**
 * The file that makes what `file` exports by a name, and its name there.
 * @param {string} file
 * @param {string} name
 * @returns {[file: string, name: string] | undefined}
 */
export function originOf(file, name) {
  const { own, given, whole } = exportsOf(file);
  if (own.has(name)) return [file, name];
  const on = given.get(name);
  if (on) return originOf(...on);
  for (const other of whole) {
    const origin = originOf(other, name);
    if (origin) return origin;
  }
  return undefined;
}

/**
 * A compiled file with its imports straight from where things are made.
 * @param {string} path
 * @throws where an import names what is not there
 */
export function directly(path) {
  const folder = dirname(path);
  const text = readFileSync(path, 'utf8').replace(named, (_, kind, list, from) =>
    namesIn(list)
      .map(({ name, as }) => {
        const origin = originOf(join(folder, from), name);
        if (!origin) throw new Error(`${path}: ${from} has no ${name}`);
        const there = relative(folder, origin[0]);
        const what = origin[1] === as ? as : `${origin[1]} as ${as}`;
        return `${kind} { ${what} } from '${there.startsWith('.') ? there : `./${there}`}';`;
      })
      .join(' '),
  );
  return text.replace(zod, "import * as z from 'zod';");
}

/** @type {import('esbuild').Plugin} */
export const direct = {
  name: 'direct',
  setup(build) {
    build.onLoad({ filter: /[\\/]dist[\\/]\.modules[\\/].*\.js$/ }, ({ path }) => ({
      contents: directly(path),
    }));
  },
};
