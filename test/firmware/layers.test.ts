import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { root } from '../support/cli.js';

const firmware = join(root, 'firmware');

/** Text of a C file without comments and strings, except the names of included files. */
function codeOf(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, ' ')
    .replace(/^(?!\s*#include).*$/gm, (line) => line.replace(/"(?:\\.|[^"\\])*"/g, '""'));
}

/** The device sources, by path below firmware/; tests and third-party headers are excluded. */
const sources = new Map(
  readdirSync(firmware, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.[ch]$/.test(name) && !/^test\/|\/interfaces\//.test(name))
    .sort()
    .map((name) => [name, codeOf(readFileSync(join(firmware, name), 'utf8'))]),
);

/**
 * Included files of our own, either in the file's folder or below `aiot/`. Headers of the system, the chip and the
 * project are excluded.
 */
function includesOf(name: string): string[] {
  const named = [...(sources.get(name) ?? '').matchAll(/^\s*#include "([^"]+)"/gm)].map(
    ([, path = '']) => path,
  );
  const folders = [dirname(name), 'core/include', 'hal/include'];
  return named.flatMap(
    (path) => folders.map((folder) => join(folder, path)).find((path) => sources.has(path)) ?? [],
  );
}

/**
 * Functions that other files may call, with the file that defines each. Alternatives of the preprocessor are in the
 * same file.
 */
function definitions(): Map<string, string> {
  const found = new Map<string, string>();
  for (const [name, code] of sources) {
    if (!name.endsWith('.c')) continue;
    for (const [, called = ''] of code.matchAll(
      /^(?!static|typedef)[a-z][\w *]*?[ *](\w+)\([^;{]*\)\s*\{/gm,
    )) {
      found.set(called, name);
    }
  }
  return found;
}

/** The files with functions that a .c file calls, each with one of these functions. */
function callsOf(name: string, defined: ReadonlyMap<string, string>): Map<string, string> {
  const calls = new Map<string, string>();
  for (const [called] of (sources.get(name) ?? '').matchAll(/\b[a-z]\w+\b/g)) {
    const owner = defined.get(called);
    if (owner !== undefined && owner !== name) calls.set(owner, called);
  }
  return calls;
}

/** Returns the first cycle in a graph as a path that ends where it began; null if there is none. */
function circle(names: Iterable<string>, next: (name: string) => Iterable<string>): string[] | null {
  const done = new Set<string>();
  const path: string[] = [];
  const walk = (name: string): string[] | null => {
    const at = path.indexOf(name);
    if (at >= 0) return [...path.slice(at), name];
    if (done.has(name)) return null;
    path.push(name);
    for (const other of next(name)) {
      const found = walk(other);
      if (found !== null) return found;
    }
    path.pop();
    done.add(name);
    return null;
  };
  for (const name of names) {
    const found = walk(name);
    if (found !== null) return found;
  }
  return null;
}

describe('the firmware layering', () => {
  const programs = [...sources.keys()].filter((name) => name.endsWith('.c'));
  const defined = definitions();

  it('covers the firmware’s sources', () => {
    expect(programs.length).toBeGreaterThan(100);
    expect(includesOf('core/src/update/trial.c')).toEqual(['core/src/update/trial.h']);
    expect(defined.get('aiot_update_step')).toBe('core/src/update/update.c');
  });

  it('has a check that detects a cycle', () => {
    const graph: Record<string, string[]> = { a: ['b'], b: ['c', 'd'], c: [], d: ['b'] };
    expect(circle(Object.keys(graph), (name) => graph[name] ?? [])).toEqual(['b', 'd', 'b']);
  });

  it('has no cycle of includes', () => {
    expect(circle(sources.keys(), includesOf)).toBeNull();
  });

  it('has no cycle of calls', () => {
    expect(circle(programs, (name) => callsOf(name, defined).keys())).toBeNull();
  });

  it('allows calls into another file only through a header', () => {
    const headers = [...sources].filter(([name]) => name.endsWith('.h'));
    const hidden = programs.flatMap((name) =>
      [...callsOf(name, defined)]
        .filter(([, called]) => !headers.some(([, code]) => new RegExp(`\\b${called}\\b`).test(code)))
        .map(([owner, called]) => `${name} calls ${called} of ${owner}, which no header offers`),
    );
    expect(hidden).toEqual([]);
    // Linker symbols (`bss_start`) and POSIX's `environ` have no header.
    expect(
      programs.filter((name) =>
        /^\s*extern [^;]*\baiot_|^\s*#include "[^"]+\.c"/m.test(sources.get(name) ?? ''),
      ),
    ).toEqual([]);
  });

  it('allows headers of another folder only if they are public or in a parent folder', () => {
    const foreign = [...sources.keys()].flatMap((name) =>
      includesOf(name)
        .filter((header) => !/^(core|hal)\/include\//.test(header))
        .filter((header) => relative(dirname(header), name).startsWith('..'))
        .map((header) => `${name} includes ${header}`),
    );
    expect(foreign).toEqual([]);
  });
});
