/**
 * Determines the test files that can share a process because they leave no state in it. In a process of its own, a file needs a second to
 * load vitest and our modules. Files that only compute, or stop everything they started, run in sequence in a thread that loads vitest and
 * our modules only once.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

const tests = dirname(import.meta.dirname);

/**
 * Process-wide state. A file that uses it gets its own process. The environment, spies and fake timers are not included, because
 * `put-back.ts` restores them after each file.
 */
const once: readonly RegExp[] = [
  // Modules that are replaced or reloaded.
  /\bvi\.(?:mock|doMock|unmock|doUnmock|hoisted|resetModules)\b/,
  // Everything except constants, restored state, signals to other programs, and output.
  /\bprocess(?:\[|\.(?!(?:(?:platform|arch|execPath|versions?|cwd|p?pid|argv|nextTick|getuid|getgid|env)\b(?! = )|kill\(|stdout\.write\()))|=\sprocess\b(?!\.)/,
  /\b(?:globalThis|global)\./,
  /\bprototype\.\w+ = /,
  /\bDate\.now = /,
  /\bsetFlagsFromString\b/,
  /\bnode:(?:process|worker_threads|cluster)\b/,
  // Measured time must not include garbage collection that other files cause.
  /\bperformance\.now\b/,
  // Counted timers must not include those that another file's leftovers set.
  /\bgetTimerCount\b/,
];

/**
 * Helpers that restore this state: the process's streams and exit code before they return, and a folder's name in the environment when
 * they are stopped.
 */
const putBack = ['cli.ts', 'up.ts'].map((name) => join(tests, 'support', name));

/** Returns the process-wide state that this text uses; undefined if there is none. */
export function touchedBy(text: string): string | undefined {
  const code = text.replace(/^ *(?:\/\/|\/?\*).*$/gm, '');
  for (const what of once) {
    const [found] = what.exec(code) ?? [];
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Returns the reason why a test needs its own process, found in its content and its imports from `test/`; undefined if it shares one. */
export function aloneFor(file: string, seen = new Set<string>()): string | undefined {
  if (seen.has(file) || putBack.includes(file) || !existsSync(file)) return undefined;
  seen.add(file);
  const text = readFileSync(file, 'utf8');
  const touched = touchedBy(text);
  if (touched !== undefined) return touched;
  for (const [, name = ''] of text.matchAll(/(?:\bfrom|\bimport\(?) ?'(\.[^']+)'/g)) {
    const path = resolve(dirname(file), name).replace(/\.js$/, '.ts');
    const why = path.startsWith(tests) ? aloneFor(path, seen) : undefined;
    if (why !== undefined) return why;
  }
  return undefined;
}

const firstRing = readdirSync(tests, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.test.ts') && !name.endsWith('.real.test.ts'))
  .sort()
  .map((name) => ({
    path: `test/${name.replaceAll('\\', '/')}`,
    shares: aloneFor(join(tests, name)) === undefined,
  }));

/** The files that share a process, as paths from the root of the repository. Files with real parts never share one. */
export const together = firstRing.filter(({ shares }) => shares).map(({ path }) => path);

/** The other files of the first ring. */
export const alone = firstRing.filter(({ shares }) => !shares).map(({ path }) => path);
