// The modules of src/lib and their order. A module may import only from modules below it, and only what their index.ts exports: through the
// index, or directly from the file that the index re-exports, so that importing a single item does not load a whole module. Prints
// violations, and exits 1 if there are any. `--graph` prints the graph in ARCHITECTURE.md.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { importsOf, sourcesIn } from './imports.js';

/** The modules, from the top down. */
export const modules = [
  'commands',
  'cli',
  'demo',
  'doctor',
  'project',
  'platform',
  'deploy',
  'pipeline',
  'fleet',
  'loop',
  'device',
  'flash',
  'provision',
  'model',
  'data',
  'stream',
  'sensor',
  'vision',
  'api',
  'runtime',
  'signal',
  'formats',
  'core',
];

/** The modules and, under an empty name, the package's entry src/index.ts, which commands also use. */
const order = modules.flatMap((module) => (module === 'demo' ? ['', module] : [module]));

/**
 * The module of a file: `src/commands/…` → commands, `src/lib/MODULE/…` → MODULE; '' is the package's entry.
 * @param {string} file relative to the root
 */
export function moduleOf(file) {
  const [, first, second] = file.split(sep);
  return first === 'commands' ? 'commands' : (second ?? '');
}

/**
 * Problems, one line each: imports that violate the rule, and folders that are not modules.
 * @param {string} root
 * @returns {string[]}
 */
export function brokenRules(root) {
  const problems = readdirSync(join(root, 'src', 'lib'))
    .filter((name) => !modules.includes(name))
    .map((name) => `src/lib/${name}: not a module listed in scripts/modules.js`);
  for (const { from, to } of crossings(root)) {
    const [here, there] = [moduleOf(from), moduleOf(to)];
    if (order.indexOf(there) <= order.indexOf(here)) {
      problems.push(`${from}: ${here} may not import from ${there || to}, which is above it`);
    } else if (!isPublic(root, from, to, there)) {
      problems.push(`${from}: imports ${to}, past that module's index.ts`);
    } else if (!existsSync(join(root, to))) {
      problems.push(`${from}: imports ${to}, which does not exist`);
    }
  }
  return [...new Set(problems)].sort();
}

/**
 * Whether everything that `from` imports from the file `to` is exported by that module's index.ts.
 * @param {string} root
 * @param {string} from
 * @param {string} to
 * @param {string} module
 */
function isPublic(root, from, to, module) {
  const index = module === '' ? join('src', 'index.ts') : join('src', 'lib', module, 'index.ts');
  if (to === index) return true;
  const given = namesFrom(root, index, to);
  // The names used from a dynamic import are unknown, so the index must re-export the whole file.
  return (
    given.has('*') || (given.size > 0 && [...namesFrom(root, from, to)].every((name) => given.has(name)))
  );
}

const naming = /^(?:import|export) (?:type )?(?:\{([^}]*)\}|(\*)[^'"]*?) from ['"]([^'"]+)['"]/gm;

/**
 * The names that a file imports or re-exports from another file, as exported there; `*` for all.
 * @param {string} root
 * @param {string} file
 * @param {string} other
 */
function namesFrom(root, file, other) {
  /** @type {Set<string>} */
  const names = new Set();
  if (!existsSync(join(root, file))) return names;
  for (const [, list = '', all, from = ''] of readFileSync(join(root, file), 'utf8').matchAll(naming)) {
    if (join(dirname(file), from).replace(/\.js$/, '.ts') !== other) continue;
    if (all) names.add('*');
    for (const part of list.split(',')) {
      const [name] = part
        .trim()
        .replace(/^type /, '')
        .split(/\s+as\s+/);
      if (name) names.add(name);
    }
  }
  return names;
}

/** @param {string} root */
function crossings(root) {
  return sourcesIn(root, 'src')
    .flatMap((file) => importsOf(root, file))
    .filter(({ from, to, own }) => own && moduleOf(from) !== moduleOf(to));
}

/**
 * Mermaid flowchart of the imports between modules. Arrows implied by others are omitted.
 * @param {string} root
 */
export function drawModules(root) {
  /** @type {Map<string, Set<string>>} */
  const below = new Map();
  for (const { from, to } of crossings(root)) {
    const here = moduleOf(from);
    below.set(here, (below.get(here) ?? new Set()).add(moduleOf(to)));
  }
  const arrows = order.flatMap((here) => {
    const direct = order.filter((there) => below.get(here)?.has(there));
    return direct
      .filter((there) => !direct.some((other) => other !== there && reaches(below, other, there)))
      .map((there) => `  ${here || 'aiot'} --> ${there || 'aiot'}`);
  });
  return ['```mermaid', 'flowchart TD', ...arrows, '```'].join('\n');
}

function reaches(below, from, to) {
  return [...(below.get(from) ?? [])].some((next) => next === to || reaches(below, next, to));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = dirname(dirname(fileURLToPath(import.meta.url)));
  if (process.argv.includes('--graph')) {
    console.log(drawModules(root));
  } else {
    const problems = brokenRules(root);
    for (const problem of problems) console.error(problem);
    process.exitCode = problems.length > 0 ? 1 : 0;
  }
}
