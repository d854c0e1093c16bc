// Peers and tools that the benchmarks need, each with instructions to install it.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { espflashProgram } from '../../test/support/espflash-program.js';
import { privateMounts } from '../../test/support/private-mounts.js';
import { root } from './process.js';

export interface Part {
  name: string;
  /** A sentence that explains how to install the part. */
  install: string;
  isThere(): boolean;
}

/** Debian installs daemons outside a user's PATH. */
export const systemPath = `${process.env.PATH}:/usr/sbin`;

const program = (name: string, debian: string): Part => ({
  name,
  install: `apt-get install ${debian}`,
  isThere: () =>
    spawnSync('sh', ['-c', `command -v ${name}`], { env: { ...process.env, PATH: systemPath } }).status === 0,
});

/** A part that `npm run parts` installs as a file in .venv. */
const made = (name: string, path: string, part: string): Part => ({
  name,
  install: `npm run parts -- ${part}`,
  isThere: () => existsSync(join(root, '.venv', path)),
});

const python = (name: string, environment: string) => made(name, `${environment}/bin/python`, environment);

export const parts = {
  mosquitto: program('mosquitto', 'mosquitto'),
  postgres: {
    name: 'postgresql',
    install: 'apt-get install postgresql',
    isThere: () => existsSync('/usr/lib/postgresql'),
  },
  mosquittoSub: program('mosquitto_sub', 'mosquitto-clients'),
  nginx: program('nginx', 'nginx'),
  redis: program('redis-server', 'redis-server'),
  kcat: program('kcat', 'kcat'),
  nats: program('nats-server', 'nats-server'),
  go: program('go', 'golang-go'),
  ffmpeg: program('ffmpeg', 'ffmpeg'),
  chromium: program('chromium', 'chromium'),
  rv32: program('riscv64-unknown-elf-gcc', 'gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf'),
  qemuRv32: program('qemu-system-riscv32', 'qemu-system-misc'),
  java: program('java', 'default-jre-headless'),
  kafka: made('Kafka', 'kafka/3.9.1/lib', 'kafka'),
  pictures: made('pictures', 'pictures/.stamp', 'pictures'),
  tfliteC: made('TensorFlow Lite in C', 'tflite-c/.stamp', 'tflite-c'),
  espflash: {
    ...made('espflash', 'espflash/bin/espflash', 'espflash'),
    // espflash runs in its own mount namespace, where it finds the simulated board's pty.
    isThere: () =>
      existsSync(espflashProgram) && spawnSync('unshare', [...privateMounts(), 'true']).status === 0,
  },
  esptool: made('esptool', 'esptool/bin/esptool', 'esptool'),
  tensorflow: python('TensorFlow', 'tensorflow'),
  har: python('pandas and SciPy', 'har'),
  litert: python('ai-edge-litert', 'litert'),
  tflm: python('tflite-micro', 'tflm'),
} satisfies Record<string, Part>;

/** The first version number in a command's output. */
export function versionOf(command: string, ...args: string[]): string | undefined {
  const { stdout, stderr } = spawnSync(command, args, {
    encoding: 'utf8',
    env: { ...process.env, PATH: systemPath },
  });
  return /\d+\.\d+(\.\d+)?/.exec(`${stdout}${stderr}`)?.[0];
}

/** Versions of packages in one of our Python environments, as `name version, name version`. */
export function pythonVersions(environment: string, ...names: string[]): string | undefined {
  const ask =
    'import sys\nfrom importlib.metadata import version\nprint(", ".join(f"{n} {version(n)}" for n in sys.argv[1:]))';
  const { status, stdout } = spawnSync(
    join(root, '.venv', environment, 'bin', 'python'),
    ['-c', ask, ...names],
    { encoding: 'utf8' },
  );
  return status === 0 ? stdout.trim() : undefined;
}
