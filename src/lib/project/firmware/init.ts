import { randomBytes } from 'node:crypto';
import { copyFile, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve } from 'node:path';
import * as z from 'zod';
import { AiotError, systemCode } from '../../core/errors.js';
import { makeFolder, writeFileAtomic, writeJsonAtomic } from '../../core/files.js';
import { aiotVersion } from '../../core/folders.js';
import { loadProject } from '../../core/project.js';
import { noteName, openFirmware, packageSources } from './folder.js';
import { generatedFiles, regenerate } from './headers.js';
import { sensorNotes } from './sensors.js';

export const firmwareInitSchema = z.object({
  /** Absolute paths of the firmware folder, and of the folder that contains its aiot.yaml. */
  dir: z.string(),
  project: z.string(),
  name: z.string(),
  /** Number of source files that were copied. */
  copied: z.int(),
  /** Paths of the files that were generated from aiot.yaml; with --force, only those that were outdated. */
  generated: z.array(z.string()),
  /** Remarks for the user, for example about a sensor that does not fit. */
  notes: z.array(z.string()),
});
export type FirmwareInit = z.output<typeof firmwareInitSchema>;

/** Contents of the firmware folder's .gitignore. */
const ignored =
  'build/\nhal/esp32/.pio/\nhal/esp32/build/\nhal/esp32/managed_components/\nhal/esp32/sdkconfig\n';

/**
 * Creates a project's firmware folder, completely or not at all. It contains the package's sources and the files generated from aiot.yaml.
 * @param options.force in an existing firmware folder, only regenerate the files that depend on aiot.yaml
 * @throws AIOT_PROJECT_NOT_FOUND, AIOT_PROJECT_INVALID, AIOT_FOLDER_NOT_EMPTY, AIOT_FIRMWARE_MISSING, AIOT_FILE_NOT_WRITABLE
 */
export async function initFirmware(options: {
  dir: string;
  project: string;
  force: boolean;
}): Promise<FirmwareInit> {
  const dir = resolve(options.dir);
  const project = await loadProject(options.project);
  const told = { dir, project: project.dir, name: project.config.name, notes: sensorNotes(project.config) };
  const names = await namesIn(dir);
  if (names.length > 0 && !options.force)
    throw new AiotError(
      'AIOT_FOLDER_NOT_EMPTY',
      `${dir} is not empty: it contains ${names.slice(0, 3).join(', ')}`,
      {
        next: names.includes(noteName)
          ? 'To regenerate only the generated files, add --force. `aiot firmware build` does this automatically.'
          : 'Specify a new or empty folder.',
      },
    );
  if (names.length > 0) {
    const own = await openFirmware(dir);
    return { ...told, copied: 0, generated: await regenerate(dir, own.project.config) };
  }
  const generated = generatedFiles(project.config);
  const staging = join(dirname(dir), `.${basename(dir)}.${randomBytes(4).toString('hex')}.tmp`);
  try {
    const copied = await copySources(staging, new Set([...generated.keys(), 'README.md']));
    for (const [path, text] of generated) await writeFileAtomic(join(staging, path), text);
    await writeFileAtomic(join(staging, '.gitignore'), ignored);
    await writeFileAtomic(join(staging, 'README.md'), readme(project.config.name));
    const from = relative(dir, project.dir).replaceAll('\\', '/') || '.';
    await writeJsonAtomic(join(staging, noteName), {
      spec: 'aiot-firmware/1',
      project: from,
      aiot: aiotVersion(),
    });
    await moveTo(staging, dir);
    return { ...told, copied, generated: [...generated.keys()] };
  } catch (error) {
    if (error instanceof AiotError) throw error;
    throw new AiotError(
      'AIOT_FILE_NOT_WRITABLE',
      `cannot create ${dir} (${systemCode(error) ?? String(error)})`,
      {
        cause: error,
        endpoint: dir,
      },
    );
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

/** The folder's README. The package's own README is not copied, because it describes this repository. */
function readme(name: string): string {
  return `# Firmware of ${name}

| | |
| --- | --- |
| \`core/\` | the portable device in C11: signal, inference, updates, protocol, sensors' drivers |
| \`hal/\` | what it needs around it: on this machine (\`host\`), on an ESP32 (\`esp32\`: ESP-IDF and PlatformIO), on a bare ESP32-C3 (\`rv32\`) |
| \`test/\` | programs of CTest |
| \`generated/\` | made of aiot.yaml by aiot: changes are lost. \`hal/esp32/partitions.csv\`, too |
| \`aiot_own.h\` | yours, where you write one: what it defines stands above \`generated/aiot_config.h\` |

All sources are yours to change. \`aiot firmware build\`, \`aiot firmware test\`; without aiot:

    cmake -S . -B build && cmake --build build && ctest --test-dir build
    idf.py -C hal/esp32 set-target esp32c3 build
    pio run -d hal/esp32 -e esp32dev
`;
}

async function copySources(to: string, others: ReadonlySet<string>): Promise<number> {
  const { root, paths } = await packageSources();
  const own = paths.filter((path) => !others.has(path));
  for (const folder of new Set(own.map((path) => dirname(path)))) await makeFolder(join(to, folder));
  for (const path of own) await copyFile(join(root, path), join(to, path));
  return own.length;
}

/**
 * Moves the files into the folder. An existing empty folder is not replaced, because it may be the shell's current one. The note is moved
 * last, because its presence makes the folder a firmware folder.
 */
async function moveTo(staging: string, dir: string): Promise<void> {
  await makeFolder(dir);
  const names = (await readdir(staging)).sort((a, b) => Number(a === noteName) - Number(b === noteName));
  for (const name of names) await rename(join(staging, name), join(dir, name));
}

async function namesIn(dir: string): Promise<string[]> {
  return await readdir(dir).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return [];
    if (systemCode(error) === 'ENOTDIR')
      throw new AiotError('AIOT_FOLDER_NOT_EMPTY', `${dir} is a file`, { cause: error });
    throw error;
  });
}
