import { readdir } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import * as z from 'zod';
import { AiotError, unless } from '../../core/errors.js';
import { readJson } from '../../core/files.js';
import { packageRoot } from '../../core/folders.js';
import { loadProject, type Project } from '../../core/project.js';

/** File in a firmware folder that records the project and the origin of the sources. */
export const noteName = 'aiot-firmware.json';

/** Configurations of the firmware for boards: files in hal/esp32/profiles, in the order in which a build reads them. */
export const firmwareProfiles = ['large', 'secure', 'nvs-hmac', 'low-power'] as const;

export type FirmwareProfile = (typeof firmwareProfiles)[number];

export const noteSchema = z.strictObject({
  spec: z.literal('aiot-firmware/1'),
  /** Folder of aiot.yaml, relative to the firmware folder. */
  project: z.string(),
  /** Version of aiot from which the sources were copied. */
  aiot: z.string(),
  /** Profiles with which builds for boards are configured. */
  profiles: z.array(z.enum(firmwareProfiles)).default([]),
});
export type Note = z.output<typeof noteSchema>;

export interface FirmwareFolder {
  /** Absolute path of the firmware folder. */
  dir: string;
  note: Note;
  project: Project;
}

/**
 * Opens a folder created by `firmware init`, and its project.
 * @throws AIOT_FIRMWARE_MISSING, AIOT_FILE_MALFORMED, AIOT_PROJECT_NOT_FOUND, AIOT_PROJECT_INVALID
 */
export async function openFirmware(folder: string): Promise<FirmwareFolder> {
  const dir = resolve(folder);
  const file = join(dir, noteName);
  const value = await unless('AIOT_FILE_NOT_FOUND', readJson(file));
  if (value === null || value === undefined)
    throw new AiotError('AIOT_FIRMWARE_MISSING', `${dir} contains no firmware project (no ${noteName})`, {
      next: `Create one with \`aiot firmware init ${folder}\`, or specify the folder of an existing one.`,
    });
  const read = noteSchema.safeParse(value);
  if (!read.success)
    throw new AiotError('AIOT_FILE_MALFORMED', `${file} was not written by \`aiot firmware init\``, {
      next: 'Create the firmware in another folder, and copy your own files to it.',
    });
  return { dir, note: read.data, project: await loadProject(join(dir, read.data.project)) };
}

/** Paths of the firmware's sources in the package, without build output. */
export async function packageSources(): Promise<{ root: string; paths: string[] }> {
  const root = join(packageRoot(), 'firmware');
  const entries = await readdir(root, { recursive: true, withFileTypes: true }).catch(() => {
    throw new AiotError('AIOT_FILE_NOT_FOUND', `the firmware sources are missing from ${root}`, {
      next: 'Install aiot again: the package contains them.',
    });
  });
  const paths = entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).replaceAll('\\', '/'))
    // Programs that only tests in TypeScript run are not in the package.
    .filter((path) => !/^test\/(\w+_tool|run_\w+|improv_board)\.c$/.test(path))
    .filter(
      (path) =>
        !/^(build|generated)\/|^hal\/esp32\/(build|\.pio|managed_components)\/|(^|\/)sdkconfig(\.old)?$/.test(
          path,
        ),
    );
  return { root, paths: paths.sort() };
}
