import { homedir } from 'node:os';
import { join } from 'node:path';

type Environment = Record<string, string | undefined>;

function base(env: Environment, own: string, xdg: string, fallback: string): string {
  const fixed = env[own];
  if (fixed) return fixed;
  const root = env[xdg];
  // The XDG rule: a relative value is to be ignored.
  return join(root?.startsWith('/') ? root : join(env.HOME || homedir(), fallback), 'aiot');
}

/** Contexts, tokens and signing keys: private to the user. `AIOT_CONFIG_DIR`, XDG_CONFIG_HOME/aiot or ~/.config/aiot. */
export function configFolder(env: Environment = process.env): string {
  return base(env, 'AIOT_CONFIG_DIR', 'XDG_CONFIG_HOME', '.config');
}

/** Platforms and demos. `AIOT_DATA_DIR`, XDG_DATA_HOME/aiot or ~/.local/share/aiot. */
export function dataFolder(env: Environment = process.env): string {
  return base(env, 'AIOT_DATA_DIR', 'XDG_DATA_HOME', '.local/share');
}

/** What can be made again. `AIOT_CACHE_DIR`, XDG_CACHE_HOME/aiot or ~/.cache/aiot. */
export function cacheFolder(env: Environment = process.env): string {
  return base(env, 'AIOT_CACHE_DIR', 'XDG_CACHE_HOME', '.cache');
}
