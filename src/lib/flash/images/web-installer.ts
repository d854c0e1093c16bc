import { existsSync } from 'node:fs';
import { basename, extname, join, resolve } from 'node:path';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { hex } from '../../core/figures.js';
import { readBytes, readText, requireNewFolder, writeNewFolder } from '../../core/files.js';
import { packageRoot } from '../../core/folders.js';
import { type ChipName, chipNames, espChips } from '../../formats/esp-image/chips.js';
import { readImageStart } from '../../formats/esp-image/read.js';
import { firmwareImages, looksLike, piecesOf } from '../plan/pieces.js';
import { joinSectors, planWrite } from '../plan/plan.js';
import type { HeaderChanges, Piece } from '../plan/types.js';

export const webInstallerSchema = z.object({
  dir: z.string(),
  name: z.string(),
  version: z.string(),
  builds: z.array(
    z.object({
      chip: z.enum(chipNames),
      chipFamily: z.string().describe('Name of the chip in the manifest.'),
      parts: z.array(z.object({ path: z.string(), offset: z.int(), bytes: z.int() })),
    }),
  ),
  notes: z.array(z.string()),
});

export type WebInstaller = z.output<typeof webInstallerSchema>;

export interface WebInstallerOptions {
  /** Images of one build: raw files as `FILE@OFFSET`, HEX and UF2 files. */
  words: readonly string[];
  /** Firmware folders, each with one build. */
  projects: readonly string[];
  out: string;
  /** Absent = the project in the app's description. */
  name?: string | undefined;
  /** Absent = the version in the app's description. */
  version?: string | undefined;
  /** Target chip of `words`; absent = the chip in the images. */
  chip?: ChipName | undefined;
  header: HeaderChanges;
  /** How long the page waits for an Improv answer after an installation, s; 0 = it does not ask. */
  improvWaitSeconds: number;
  force: boolean;
}

interface Build {
  chip: ChipName;
  parts: { path: string; offset: number; data: Uint8Array }[];
  app: { project: string; version: string } | null;
  notes: string[];
}

/**
 * Writes a static web page that installs firmware on boards over Web Serial, with a manifest that ESP Web Tools can read too. The folder
 * is written completely or not at all.
 * @throws AIOT_USAGE (nothing to install, two builds for one chip, no name or version, a private key in an image), AIOT_FLASH_REFUSED,
 *   AIOT_FOLDER_NOT_EMPTY, AIOT_FILE_NOT_FOUND, AIOT_IMAGE_MALFORMED, AIOT_FILE_NOT_WRITABLE
 */
export async function createWebInstaller(options: WebInstallerOptions): Promise<WebInstaller> {
  const dir = resolve(options.out);
  await requireNewFolder(dir);
  const builds = await buildsOf(options);
  const { name, version } = titleOf(builds, options);
  const files = await pageFiles();
  for (const { parts } of builds) for (const { path, data } of parts) files.set(path, data);
  files.set(
    'manifest.json',
    `${JSON.stringify(manifestOf(builds, { ...options, name, version }), null, 2)}\n`,
  );
  await writeNewFolder(dir, files);
  return {
    ...{ dir, name, version },
    builds: builds.map(({ chip, parts }) => ({
      chip,
      chipFamily: espChips[chip].title,
      parts: parts.map(({ path, offset, data }) => ({ path, offset, bytes: data.length })),
    })),
    notes: builds.flatMap(({ notes }) => notes),
  };
}

async function buildsOf(options: WebInstallerOptions): Promise<Build[]> {
  const { words, projects, chip } = options;
  const builds: Build[] = [];
  if (words.length > 0) builds.push(buildOf(await piecesOf(words), options, chip));
  for (const project of projects) builds.push(buildOf((await firmwareImages(project)).pieces, options));
  if (builds.length === 0)
    throw new AiotError('AIOT_USAGE', 'there is nothing to install', {
      next: 'Name a firmware folder (`--project FIRMWARE_DIR`), or files (`bootloader.bin@bootloader table.bin@0x8000 app.bin@0x10000`).',
    });
  const twice = builds.find((build, at) => builds.findIndex((other) => other.chip === build.chip) !== at);
  if (twice)
    throw new AiotError('AIOT_USAGE', `two of the builds are for the ${espChips[twice.chip].title}`, {
      next: 'Write one folder for each of them.',
    });
  return builds;
}

/** Checks a build as `aiot flash` does, and names its files. */
function buildOf(pieces: readonly Piece[], options: WebInstallerOptions, wanted?: ChipName): Build {
  const chip = wanted ?? chipOf(pieces);
  for (const { name, data } of pieces) refuseKeys(name, data);
  const security = { secureBoot: false, flashEncryption: false, secureDownload: false };
  const { header, force } = options;
  const plan = planWrite({
    pieces,
    board: { chip, flashBytes: null, security },
    ...{ boardTable: null, erase: false, header, force },
  });
  const title = espChips[chip].title;
  const boots = plan.regions.some(
    ({ offset, data }) =>
      offset <= espChips[chip].bootloaderOffset && offset + data.length > espChips[chip].bootloaderOffset,
  );
  const notes = [
    ...plan.warnings,
    ...plan.overridden.map(({ message }) => message),
    ...(boots ? [] : [`The build for the ${title} has no bootloader: a board without one will not start.`]),
  ];
  // Parts that share a sector are joined, because erasing the sector for the second one would delete the end of the first.
  const parts = joinSectors(plan.regions).map(({ name, offset, data }) => ({
    path: `${chip}/${stemOf(name)}-${hex(offset)}.bin`,
    ...{ offset, data },
  }));
  return { chip, parts, app: appOf(plan.regions), notes };
}

function chipOf(pieces: readonly Piece[]): ChipName {
  const found = pieces.flatMap(({ chip, data }) => chip ?? looksLike(data)?.chip ?? [])[0];
  if (found) return found;
  throw new AiotError('AIOT_USAGE', 'expected --chip, because none of the files identifies the chip');
}

/** An installer is public, so that an image with a private key in it must never be part of one. */
function refuseKeys(name: string, data: Uint8Array): void {
  if (!/-----BEGIN (?:EC |RSA |ENCRYPTED )?PRIVATE KEY-----/.test(Buffer.from(data).toString('latin1')))
    return;
  throw new AiotError('AIOT_USAGE', `${name} contains a private key, but everyone can read an installer`, {
    next: 'Omit the file. Write identities to boards with `aiot flash --device DIR`.',
  });
}

function stemOf(name: string): string {
  const [first = ''] = name.split(' + ');
  return basename(first, extname(first)).replaceAll(/[^\w.-]/g, '_');
}

function appOf(regions: readonly { data: Uint8Array }[]): Build['app'] {
  for (const { data } of regions) {
    const app = looksLike(data)?.kind === 'app' ? (readImageStart(data)?.app ?? null) : null;
    if (app) return { project: app.project, version: app.version };
  }
  return null;
}

function titleOf(
  builds: readonly Build[],
  { name, version }: Pick<WebInstallerOptions, 'name' | 'version'>,
): { name: string; version: string } {
  const of = (what: 'project' | 'version', flag: string, given: string | undefined) => {
    if (given !== undefined && given.trim() !== '') return given;
    const found = [...new Set(builds.flatMap(({ app }) => (app?.[what] ? [app[what]] : [])))];
    if (found.length === 1 && found[0]) return found[0];
    const why = found.length === 0 ? 'no app states one' : `the apps state ${found.join(' and ')}`;
    throw new AiotError('AIOT_USAGE', `expected ${flag}, because ${why}`);
  };
  return { name: of('project', '--name', name), version: of('version', '--version', version) };
}

/** The manifest. Source of its fields: ESP Web Tools, https://esphome.github.io/esp-web-tools/. */
function manifestOf(
  builds: readonly Build[],
  { name, version, improvWaitSeconds }: WebInstallerOptions,
): unknown {
  return {
    ...{ name, version },
    // Without it, ESP Web Tools would erase the whole flash, and with it the identity of a device, without asking.
    new_install_prompt_erase: true,
    new_install_improv_wait_time: improvWaitSeconds,
    builds: builds.map(({ chip, parts }) => ({
      chipFamily: espChips[chip].title,
      parts: parts.map(({ path, offset }) => ({ path, offset })),
    })),
  };
}

/** The page and the files that it loads, from the package. */
async function pageFiles(): Promise<Map<string, Uint8Array | string>> {
  const web = join(packageRoot(), 'dist', 'web');
  const template = join(web, 'installer.html');
  if (!existsSync(template))
    throw new AiotError('AIOT_FILE_NOT_FOUND', `the page of the installer is missing from ${web}`, {
      next: 'Install aiot again: the package contains it.',
    });
  const page = await readText(template);
  const files = new Map<string, Uint8Array | string>([['index.html', page]]);
  const loaded = [...page.matchAll(/(?:src|href)="(assets\/[\w.-]+)"/g)].map(([, path = '']) => path);
  for (const path of new Set([...loaded, 'assets/licences.txt']))
    files.set(path, await readBytes(join(web, path)));
  return files;
}
