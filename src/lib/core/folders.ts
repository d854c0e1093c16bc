import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { AiotError } from './errors.js';
import { readBytes } from './files.js';

type Environment = Record<string, string | undefined>;

/** Folder of contexts, tokens and signing keys, private to the user: `AIOT_CONFIG_DIR`, XDG_CONFIG_HOME/aiot or ~/.config/aiot. */
export function configFolder(env: Environment = process.env): string {
  return base(env, 'AIOT_CONFIG_DIR', 'XDG_CONFIG_HOME', '.config');
}

/** Folder of platforms and demos: `AIOT_DATA_DIR`, XDG_DATA_HOME/aiot or ~/.local/share/aiot. */
export function dataFolder(env: Environment = process.env): string {
  return base(env, 'AIOT_DATA_DIR', 'XDG_DATA_HOME', '.local/share');
}

/** Folder of files that can be regenerated: `AIOT_CACHE_DIR`, XDG_CACHE_HOME/aiot or ~/.cache/aiot. */
export function cacheFolder(env: Environment = process.env): string {
  return base(env, 'AIOT_CACHE_DIR', 'XDG_CACHE_HOME', '.cache');
}

function base(env: Environment, own: string, xdg: string, fallback: string): string {
  const fixed = env[own];
  if (fixed) return fixed;
  const root = env[xdg];
  // The XDG specification requires relative values to be ignored.
  return join(root?.startsWith('/') ? root : join(env.HOME || homedir(), fallback), 'aiot');
}

let known: string | undefined;
let home: string | undefined;

/** Version of this program, from its package.json; read once. */
export function aiotVersion(): string {
  known ??= String(JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')).version);
  return known;
}

/**
 * The package's own folder: the nearest parent with aiot's package.json. Works from src, from dist and in an installed package;
 * the result is cached.
 */
export function packageRoot(from?: string): string {
  if (from !== undefined) return above(from);
  home ??= above(fileURLToPath(import.meta.url));
  return home;
}

function above(from: string): string {
  for (let folder = dirname(from); ; folder = dirname(folder)) {
    if (nameOfPackage(folder) === 'aiot') return folder;
    if (dirname(folder) === folder)
      throw new AiotError('AIOT_BUG', `no aiot package found in ${from} or its parent folders`);
  }
}

function nameOfPackage(folder: string): unknown {
  try {
    return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).name;
  } catch {
    return undefined;
  }
}

/**
 * Reads a file of another package that is bundled with this one in dist/vendor, where scripts/vendor.js writes it with each build.
 * @param name name of the file in dist/vendor; a name that ends with `.gz` is decompressed
 * @throws as `readBytes`; a zlib error if the file is damaged
 */
export async function vendoredFile(name: string): Promise<Uint8Array> {
  const bytes = await readBytes(join(packageRoot(), 'dist', 'vendor', name));
  return name.endsWith('.gz') ? await promisify(gunzip)(bytes) : bytes;
}
