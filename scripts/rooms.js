// The rooms of src/lib and their order: an import goes downwards only, and through the other room's index.ts only (or the
// index.ts of a folder that the room's own index gives on whole: a side door for what has to start fast).
// Run: prints what breaks the rule and exits 1. `--graph` prints the graph that ARCHITECTURE.md shows.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { importsOf, sourcesIn } from './imports.js';

/** From the top down. */
export const rooms = [
  'commands',
  'cli',
  'library',
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
  'registry',
  'runtime',
  'signal',
  'formats',
  'core',
];

/**
 * The room of a file: `src/commands/…` → commands, `src/lib/ROOM/…` → ROOM.
 * @param {string} file relative to the root
 */
export function roomOf(file) {
  const [, first, second] = file.split(sep);
  return first === 'commands' ? 'commands' : (second ?? '');
}

/**
 * One line for each import that breaks the rule, and each folder that is no room.
 * @param {string} root
 * @returns {string[]}
 */
export function brokenRules(root) {
  const problems = readdirSync(join(root, 'src', 'lib'))
    .filter((name) => !rooms.includes(name))
    .map((name) => `src/lib/${name}: not a room that scripts/rooms.js knows`);
  for (const { from, to } of crossings(root)) {
    const [here, there] = [roomOf(from), roomOf(to)];
    if (rooms.indexOf(there) <= rooms.indexOf(here)) {
      problems.push(`${from}: ${here} may not import from ${there}, which is above it`);
    } else if (to !== join('src', 'lib', there, 'index.ts') && !isSideDoor(root, to, there)) {
      problems.push(`${from}: imports ${to}, past that room's index.ts`);
    } else if (!existsSync(join(root, to))) {
      problems.push(`${from}: imports ${to}, which does not exist`);
    }
  }
  return [...new Set(problems)].sort();
}

/**
 * Whether the file is the index.ts of a folder in the room, and the room's own index says `export * from` it.
 * @param {string} root
 * @param {string} to
 * @param {string} room
 */
function isSideDoor(root, to, room) {
  const folder = join('src', 'lib', room);
  const door = relative(folder, to).split(sep);
  if (door.length !== 2 || door[1] !== 'index.ts') return false;
  return readFileSync(join(root, folder, 'index.ts'), 'utf8').includes(
    `export * from './${door[0]}/index.js'`,
  );
}

/** @param {string} root */
function crossings(root) {
  return sourcesIn(root, 'src')
    .flatMap((file) => importsOf(root, file))
    .filter(({ from, to, own }) => own && roomOf(from) !== roomOf(to));
}

/**
 * Mermaid flowchart of what imports what. An arrow that can be had by following others is left out.
 * @param {string} root
 */
export function drawRooms(root) {
  /** @type {Map<string, Set<string>>} */
  const below = new Map();
  for (const { from, to } of crossings(root)) {
    const here = roomOf(from);
    below.set(here, (below.get(here) ?? new Set()).add(roomOf(to)));
  }
  const arrows = rooms.flatMap((here) => {
    const direct = rooms.filter((there) => below.get(here)?.has(there));
    return direct
      .filter((there) => !direct.some((other) => other !== there && reaches(below, other, there)))
      .map((there) => `  ${here} --> ${there}`);
  });
  return ['```mermaid', 'flowchart TD', ...arrows, '```'].join('\n');
}

function reaches(below, from, to) {
  return [...(below.get(from) ?? [])].some((next) => next === to || reaches(below, next, to));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = dirname(dirname(fileURLToPath(import.meta.url)));
  if (process.argv.includes('--graph')) {
    console.log(drawRooms(root));
  } else {
    const problems = brokenRules(root);
    for (const problem of problems) console.error(problem);
    process.exitCode = problems.length > 0 ? 1 : 0;
  }
}
