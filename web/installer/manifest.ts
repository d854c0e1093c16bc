import { BoardFault } from '../board/faults.js';
import type { FoundChip, Part } from '../board/flash.js';
import type { Release } from '../board/setup.js';

/** The fields of ESP Web Tools' manifest that the page uses. */
interface Manifest {
  name: string;
  version: string;
  new_install_prompt_erase?: boolean;
  new_install_improv_wait_time?: number;
  builds: { chipFamily: string; parts: { path: string; offset: number }[] }[];
}

const unreachable = (what: string) =>
  new BoardFault(
    'download-failed',
    `The page cannot load ${what}.`,
    'Check that all files of the installer are on the server, and reload the page.',
  );

const malformed = (why: string) =>
  new BoardFault(
    'manifest-malformed',
    `manifest.json is invalid: ${why}.`,
    'Create the page again with aiot firmware web-installer.',
  );

/** Loads the manifest. @throws BoardFault */
export async function loadRelease(url: URL): Promise<Release> {
  const response = await load(url, 'manifest.json');
  const manifest = (await response.json().catch(() => null)) as Partial<Manifest> | null;
  const { name, version, builds } = manifest ?? {};
  if (typeof name !== 'string' || typeof version !== 'string') throw malformed('it has no name or version');
  if (!Array.isArray(builds) || builds.length === 0) throw malformed('it has no builds');
  return {
    ...{ name, version },
    families: builds.map(({ chipFamily }) => chipFamily),
    offersErase: manifest?.new_install_prompt_erase === true,
    improvWaitMs: 1000 * (manifest?.new_install_improv_wait_time ?? 10),
    parts: (chip) => loadParts(builds, chip, url),
  };
}

async function loadParts(
  builds: Manifest['builds'],
  { family }: FoundChip,
  manifest: URL,
): Promise<readonly Part[]> {
  const build = builds.find(({ chipFamily }) => chipFamily === family);
  if (!build) throw malformed(`it has no build for ${family}`);
  return await Promise.all(
    build.parts.map(async ({ path, offset }) => {
      const response = await load(new URL(path, manifest), path);
      return { offset, data: new Uint8Array(await response.arrayBuffer()) };
    }),
  );
}

async function load(url: URL, name: string): Promise<Response> {
  const response = await fetch(url, { credentials: 'same-origin' }).catch(() => null);
  if (!response?.ok) throw unreachable(name);
  return response;
}
