import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { createImage } from '../../flash/images/image-info.js';
import { type Inspected, inspectedSchema, inspectFirmware } from '../../flash/images/inspect.js';
import { type FirmwareFolder, type FirmwareProfile, firmwareProfiles, openFirmware } from './folder.js';
import { regenerate } from './headers.js';
import { sensorNotes } from './sensors.js';
import { cmakeBuild, install, requireBuilt, runTool, type ToolOptions } from './tools.js';

const madeSchema = z.object({
  file: z.string(),
  kind: inspectedSchema.shape.kind,
  bytes: z.int(),
  /** Bytes of read-only sections, as counted by binutils' `size`; null = the file has no sections. */
  text: z.int().nullable(),
  /** Bytes of initialized data; null as in `text`. */
  data: z.int().nullable(),
  /** Bytes of zero-initialized data; null as in `text`. */
  bss: z.int().nullable(),
});

const boardTargets = ['esp32', 'esp32s3', 'esp32c3', 'esp32c6', 'esp32h2', 'esp32p4'] as const;
export const firmwareTargets = ['host', 'rv32', 'c3', ...boardTargets] as const;
export const vendorTools = ['idf.py', 'pio'] as const;

export const firmwareBuildSchema = z.object({
  dir: z.string(),
  name: z.string(),
  version: z.string(),
  /** Device type in aiot.yaml; null = no type is set. */
  type: z.string().nullable(),
  target: z.enum(firmwareTargets),
  tool: z.enum(['cmake', ...vendorTools]),
  /** Paths that were regenerated because aiot.yaml had changed. */
  regenerated: z.array(z.string()),
  /** All files from the build, the main file first. */
  files: z.array(madeSchema),
  /** The main file, as reported by `firmware inspect`. */
  main: inspectedSchema,
  seconds: z.number(),
  notes: z.array(z.string()),
});

export type FirmwareBuild = z.output<typeof firmwareBuildSchema>;

interface FirmwareBuildOptions {
  dir: string;
  target: FirmwareTarget;
  tool?: VendorTool | undefined;
  /** Profiles of hal/esp32/profiles; undefined = those chosen at `firmware init`. */
  profiles?: readonly FirmwareProfile[] | undefined;
  signal?: AbortSignal;
  /** Called with the name of each lengthy stage when it begins. */
  onStage?: (text: string) => void;
}

/**
 * Builds a firmware folder for one target, after regenerating the files that depend on a changed aiot.yaml.
 * @throws AIOT_FIRMWARE_MISSING, AIOT_PROJECT_INVALID, AIOT_PROGRAM_NOT_FOUND, AIOT_FIRMWARE_BUILD
 */
export async function buildFirmware(options: FirmwareBuildOptions): Promise<FirmwareBuild> {
  const { target, tool, signal } = options;
  const folder = await openFirmware(options.dir);
  const { config } = folder.project;
  const regenerated = await regenerate(folder.dir, config);
  const version = config.firmware?.version ?? '0.1.0';
  const started = performance.now();
  options.onStage?.(`Building ${config.name} for ${target}`);
  const profiles = profilesFor(target, options.profiles, folder);
  const built = await buildTarget(target, { folder, version, tool, profiles, signal });
  const seconds = (performance.now() - started) / 1000;
  const main = await inspectFirmware(built.main);
  const others = await Promise.all(built.others.map((file) => inspectFirmware(file)));
  return {
    dir: folder.dir,
    name: config.name,
    version,
    type: config.firmware?.type ?? null,
    ...{ target, tool: built.tool, regenerated },
    files: [main, ...others].map(brief),
    main,
    seconds,
    notes: notesFor(target, config, profiles),
  };
}

const notesFor = (
  target: FirmwareTarget,
  config: FirmwareFolder['project']['config'],
  profiles: readonly FirmwareProfile[],
) =>
  target.startsWith('esp32')
    ? [...sensorNotes(config, profiles), ...profiles.flatMap((profile) => profileNotes[profile])]
    : [];

/** The next step after a build with a profile. */
const profileNotes: Record<FirmwareProfile, string[]> = {
  large: [
    'The NVS is elsewhere than usual: provision the board with --partitions hal/esp32/partitions-8mb.csv and --flash-size 8MB.',
  ],
  secure: [
    'Sign bootloader and app with `aiot firmware sign`, and write them with `aiot flash --profile production`.',
  ],
  'nvs-hmac': [
    'The board needs its own HMAC key: `aiot device provision --nvs-key`, and `aiot flash --profile production --nvs-key`.',
  ],
  'low-power': [],
};

/** @throws AIOT_USAGE for a profile that the target does not have */
function profilesFor(
  target: FirmwareTarget,
  asked: readonly FirmwareProfile[] | undefined,
  { note }: FirmwareFolder,
): readonly FirmwareProfile[] {
  const board = boardTargets.some((name) => name === target);
  if (!board && asked !== undefined)
    throw new AiotError('AIOT_USAGE', `--profile is for boards, not for --target ${target}`);
  // A later file of defaults takes precedence: nvs-hmac replaces the key protection that secure sets.
  const profiles = board ? inOrder(asked ?? note.profiles) : [];
  if (profiles.includes('nvs-hmac') && target === 'esp32')
    throw new AiotError(
      'AIOT_USAGE',
      'the profile nvs-hmac is not for --target esp32, which has no HMAC unit',
    );
  if (profiles.includes('nvs-hmac') && target === 'esp32p4')
    throw new AiotError(
      'AIOT_USAGE',
      'the profile nvs-hmac is not for --target esp32p4, whose fuses aiot cannot burn',
    );
  if (profiles.includes('large') && target !== 'esp32s3')
    throw new AiotError('AIOT_USAGE', `the profile large is for --target esp32s3, not ${target}`);
  return profiles;
}

const inOrder = (profiles: readonly FirmwareProfile[]) =>
  firmwareProfiles.filter((profile) => profiles.includes(profile));

function brief({ file, kind, bytes, elf }: Inspected): z.output<typeof madeSchema> {
  return { file, kind, bytes, text: elf?.text ?? null, data: elf?.data ?? null, bss: elf?.bss ?? null };
}

type FirmwareTarget = (typeof firmwareTargets)[number];

type VendorTool = (typeof vendorTools)[number];

/** Files of a build: the main file, which can be pushed or flashed, and the others. */
interface Built {
  tool: 'cmake' | VendorTool;
  main: string;
  others: string[];
}

interface BuildRequest extends ToolOptions {
  folder: FirmwareFolder;
  version: string;
  tool?: VendorTool | undefined;
  profiles: readonly FirmwareProfile[];
}

type ChipTarget = (typeof boardTargets)[number];

/** Environments in firmware/hal/esp32/platformio.ini. */
const environments: Record<ChipTarget, string> = {
  esp32: 'esp32dev',
  esp32s3: 'esp32-s3-devkitc-1',
  esp32c3: 'esp32-c3-devkitm-1',
  esp32c6: 'esp32-c6-devkitc-1',
  esp32h2: 'esp32-h2-devkitm-1',
  esp32p4: 'esp32-p4-evboard',
};

/** @throws AIOT_PROGRAM_NOT_FOUND with the command that installs it, AIOT_FIRMWARE_BUILD */
async function buildTarget(target: FirmwareTarget, request: BuildRequest): Promise<Built> {
  if (target === 'host') return await buildHost(request);
  if (target === 'rv32') return await buildRv32(request);
  if (target === 'c3') return await buildC3(request);
  const tool = request.tool ?? (await toolHere(target));
  return tool === 'pio' ? await buildByPio(target, request) : await buildByIdf(target, request);
}

function placesOf({ folder }: BuildRequest, name: string) {
  const build = join(folder.dir, 'build', name);
  return { sources: folder.dir, build, log: join(folder.dir, 'build', `${name}.log`) };
}

const release = ['-DCMAKE_BUILD_TYPE=Release', '-DAIOT_SANITIZE=OFF'];

async function buildHost(request: BuildRequest): Promise<Built> {
  const places = placesOf(request, 'host');
  const settings = [...release, `-DAIOT_FIRMWARE_VERSION=${request.version}`];
  const needs = { what: 'OpenSSL 3 and libmosquitto', next: install.host };
  await cmakeBuild(
    { ...places, settings, targets: ['aiot-device'], what: 'the program for this machine', needs },
    request,
  );
  return { tool: 'cmake', main: join(places.build, 'aiot-device'), others: [] };
}

const rv32Needs = { what: 'riscv64-unknown-elf-gcc, picolibc and qemu-system-riscv32', next: install.rv32 };

async function buildRv32(request: BuildRequest): Promise<Built> {
  const places = placesOf(request, 'rv32');
  await cmakeBuild(
    { ...places, settings: release, targets: ['rv32'], what: 'the core for RV32', needs: rv32Needs },
    request,
  );
  const programs = (await readdir(places.build)).filter((name) => name.endsWith('_rv32.elf')).sort();
  const all = programs.map((name) => join(places.build, name));
  // This program includes everything from samples to predictions. The other programs cover only parts of this path.
  const main = all.find((file) => file.endsWith('predictor_rv32.elf')) ?? all[0] ?? places.build;
  return { tool: 'cmake', main, others: all.filter((file) => file !== main) };
}

async function buildC3(request: BuildRequest): Promise<Built> {
  const places = placesOf(request, 'c3');
  await cmakeBuild(
    { ...places, settings: release, targets: ['c3'], what: 'the core for a bare ESP32-C3', needs: rv32Needs },
    request,
  );
  const elf = join(places.build, 'aiot_c3.elf');
  const main = join(places.build, 'aiot_c3.bin');
  await createImage({ elf, out: main, chip: 'esp32c3', mode: 'dio', size: '4MB' });
  return { tool: 'cmake', main, others: [elf] };
}

/** Chooses ESP-IDF if its export.sh was sourced, and otherwise PlatformIO. @throws AIOT_PROGRAM_NOT_FOUND */
async function toolHere(target: ChipTarget): Promise<VendorTool> {
  const unusable: string[] = [];
  for (const tool of vendorTools) {
    const found = await runTool(tool, ['--version'], '').catch(() => null);
    if (found?.code === 0) return tool;
    if (found !== null) unusable.push(found.said);
  }
  for (const said of unusable) requireIdfComplete(said, target);
  if (unusable.length > 0)
    throw new AiotError(
      'AIOT_PROGRAM_NOT_FOUND',
      `${vendorTools.join(' or ')} is installed, but does not run`,
      {
        next: 'Run `idf.py --version` or `pio --version` by hand and read its output.',
      },
    );
  throw new AiotError(
    'AIOT_PROGRAM_NOT_FOUND',
    'building for an ESP32 needs ESP-IDF (idf.py) or PlatformIO (pio), but neither is installed',
    { next: vendorNext },
  );
}

const vendorNext =
  'pipx install platformio (it fetches the compilers at the first build), or ESP-IDF 5.3 to 6.0, its install.sh, and in this shell: . $IDF_PATH/export.sh. For a container: `aiot firmware build --docker`';

async function buildByPio(target: ChipTarget, request: BuildRequest): Promise<Built> {
  if (request.profiles.length > 0)
    throw new AiotError('AIOT_USAGE', 'profiles need ESP-IDF (idf.py), but this build would use PlatformIO', {
      next: "Source ESP-IDF's export.sh in this shell, or omit the profiles.",
    });
  const { log } = placesOf(request, target);
  const project = join(request.folder.dir, 'hal', 'esp32');
  const environment = environments[target];
  const ran = await runTool('pio', ['run', '-d', project, '-e', environment], vendorNext, request);
  await requireBuilt([ran], `the firmware for ${target}`, log, {
    root: request.folder.dir,
    bases: [project],
  });
  const made = join(project, '.pio', 'build', environment);
  return found('pio', made, 'firmware.bin', ['firmware.elf', 'bootloader.bin', 'partitions.bin']);
}

async function buildByIdf(target: ChipTarget, request: BuildRequest): Promise<Built> {
  const { build, log, project, args } = idfCommand(target, request);
  const ran = await runTool('idf.py', args, vendorNext, request);
  if (ran.code !== 0) requireIdfComplete(ran.said, target);
  await requireBuilt([ran], `the firmware for ${target}`, log, {
    root: request.folder.dir,
    bases: [project, build],
  });
  const others = ['aiot.elf', 'bootloader/bootloader.bin', 'partition_table/partition-table.bin'];
  return found('idf.py', build, 'aiot.bin', others);
}

function idfCommand(target: ChipTarget, request: BuildRequest) {
  const { profiles } = request;
  const { build, log } = placesOf(request, [target, ...profiles].join('-'));
  const project = join(request.folder.dir, 'hal', 'esp32');
  // Each chip has a separate folder and sdkconfig, so that builds do not invalidate each other.
  const settings = [`-DIDF_TARGET=${target}`, `-DSDKCONFIG=${join(build, 'sdkconfig')}`];
  if (profiles.length > 0) {
    const files = ['sdkconfig.defaults', ...profiles.map((profile) => `profiles/${profile}.defaults`)];
    settings.push(`-DSDKCONFIG_DEFAULTS=${files.join(';')}`);
  }
  return { build, log, project, args: ['-C', project, '-B', build, ...settings, 'build'] };
}

/** @throws AIOT_PROGRAM_NOT_FOUND if the output shows that ESP-IDF's environment, or the compiler for the target, is missing */
function requireIdfComplete(said: string, target: ChipTarget): void {
  const source = 'and in this shell: . $IDF_PATH/export.sh';
  if (
    /not spawned within an ESP-IDF shell environment|Python dependencies must be installed|forgotten to run the install scripts/.test(
      said,
    )
  )
    throw new AiotError('AIOT_PROGRAM_NOT_FOUND', "idf.py does not find ESP-IDF's Python packages", {
      next: `Run $IDF_PATH/install.sh ${target}, ${source}`,
    });
  const compiler =
    /CMAKE_(?:C|CXX|ASM)_COMPILER:\s+(\S+)\s+is not a full path and was not found/.exec(said)?.[1] ??
    /([\w-]+-elf-(?:gcc|g\+\+|as)): (?:command )?not found/.exec(said)?.[1];
  if (compiler !== undefined)
    throw new AiotError(
      'AIOT_PROGRAM_NOT_FOUND',
      `ESP-IDF is installed without the compiler for ${target} (${compiler})`,
      { next: `Run $IDF_PATH/install.sh ${target}, ${source}` },
    );
  const program = /"?\b(cmake|ninja)"? must be available|either the '(ninja)' or 'GNU make'/.exec(said);
  if (program !== null)
    throw new AiotError('AIOT_PROGRAM_NOT_FOUND', `idf.py needs ${program[1] ?? program[2]}`, {
      next: 'On Debian: apt-get install cmake ninja-build',
    });
}

/** The vendor's container image of ESP-IDF, which the files in templates/ci also use. */
export const idfImage = 'espressif/idf:v5.5';

export const firmwareContainerSchema = z.object({
  dir: z.string(),
  target: z.enum(boardTargets),
  tool: z.literal('docker'),
  image: z.string(),
  /** Program and arguments, not run yet. */
  command: z.array(z.string()),
  /** Folder in which the command builds. */
  build: z.string(),
  /** Paths that were regenerated because aiot.yaml had changed. */
  regenerated: z.array(z.string()),
  notes: z.array(z.string()),
});

export type FirmwareContainer = z.output<typeof firmwareContainerSchema>;

/**
 * The command that builds a board's firmware in ESP-IDF's container image. Regenerates the files that depend on aiot.yaml, which the
 * container cannot do, and runs nothing.
 * @throws AIOT_USAGE, AIOT_FIRMWARE_MISSING, AIOT_PROJECT_INVALID
 */
export async function containerBuild(options: FirmwareBuildOptions): Promise<FirmwareContainer> {
  const target = boardTargets.find((name) => name === options.target);
  if (target === undefined)
    throw new AiotError('AIOT_USAGE', `--docker is for boards, not for --target ${options.target}`);
  if (options.tool === 'pio')
    throw new AiotError('AIOT_USAGE', '--docker builds with idf.py, not with PlatformIO');
  const folder = await openFirmware(options.dir);
  const { config } = folder.project;
  const regenerated = await regenerate(folder.dir, config);
  const profiles = profilesFor(target, options.profiles, folder);
  const { build, args } = idfCommand(target, { folder, version: '', profiles });
  // Without the user's ID, the files that the build creates would belong to root.
  const user = process.getuid && process.getgid ? ['--user', `${process.getuid()}:${process.getgid()}`] : [];
  // The folder has the same path inside the container, so paths in errors and in the build's files are also valid outside it.
  const mount = ['--volume', `${folder.dir}:${folder.dir}`, '--workdir', folder.dir];
  return {
    ...{ dir: folder.dir, target, tool: 'docker', image: idfImage, build, regenerated },
    command: ['docker', 'run', '--rm', ...user, '--env', 'HOME=/tmp', ...mount, idfImage, 'idf.py', ...args],
    notes: notesFor(target, config, profiles),
  };
}

/** @throws AIOT_FIRMWARE_BUILD if the tool reported success but created no file */
function found(tool: VendorTool, folder: string, name: string, others: string[]): Built {
  const main = join(folder, name);
  if (!existsSync(main))
    throw new AiotError('AIOT_FIRMWARE_BUILD', `${tool} succeeded, but did not produce ${main}`, {
      next: 'Run it by hand and read its output.',
    });
  return { tool, main, others: others.map((path) => join(folder, path)).filter((path) => existsSync(path)) };
}
