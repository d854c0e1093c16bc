import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'vitest';
import { root } from './cli.js';
import { espflashProgram } from './espflash-program.js';
import { privateMounts } from './private-mounts.js';

/** Programs of third parties that the second ring talks to. A missing one is a named skip, and an error where CI is `true`. */
const parts = {
  /** Node and its native packages for 64-bit Arm (scripts/aarch64.sh), and an emulator of its programs. */
  aarch64: () => existsSync(join(aarch64Folder, '.stamp')) && onPath('qemu-aarch64-static'),
  /** A C compiler. */
  cc: () => onPath('cc'),
  chromium: () => onPath('chromium'),
  /** Debian's cloud-init, unpacked (scripts/cloud-init.sh). */
  'cloud-init': () => existsSync(cloudInitSchema),
  cmake: () => onPath('cmake') && onPath('cc'),
  /** PyPI cyclonedx-python-lib with its schemas. */
  sbom: () => existsSync(python('sbom')),
  /** PyPI junitparser and check-jsonschema. */
  ci: () => existsSync(python('ci')),
  curl: () => onPath('curl'),
  cxx: () => onPath('g++'),
  /** crates.io's espflash (scripts/espflash.sh), and a mount namespace to show it a pty in. */
  espflash: () =>
    existsSync(espflashProgram) && spawnSync('unshare', [...privateMounts(), 'true']).status === 0,
  /** PyPI detools. */
  delta: () => existsSync(python('delta')),
  /** PyPI esptool and esp-idf-nvs-partition-gen. */
  esptool: () => existsSync(python('esptool')),
  fish: () => onPath('fish'),
  /** Traces of real mask ROMs, and images of the vendor's NVS generator. */
  'flash-samples': () => existsSync(flashSamplesFolder),
  ffmpeg: () => onPath('ffmpeg'),
  /** Apache Kafka's jars (scripts/kafka.sh), and a Java to run them. */
  kafka: () => existsSync(join(root, '.venv', 'kafka', '4.1.0', '.stamp')) && onPath('java'),
  /** PyPI kafka-python, paho-mqtt and requests as the guide's steps have them, and a Python for those of them that train. */
  guide: () => existsSync(python('guide')) && existsSync(python('tensorflow')),
  /** Clients of the guide's kind in Go (scripts/guide-clients.sh). */
  'guide-clients': () => existsSync(guideClients),
  /** BuildKit's parser and linter (scripts/dockerfile.sh). */
  dockerfile: () => existsSync(dockerfileCheck),
  /** librdkafka's command, as a third party to Kafka. */
  kcat: () => onPath('kcat'),
  /** `argo lint --offline` and `argo-events lint` (scripts/argo-lint.sh). */
  'argo-lint': () => existsSync(argoLintProgram) && existsSync(argoEventsLintProgram),
  /** kubeconform and the schemas of Kubernetes, Strimzi, Argo, … (scripts/k8s-tools.sh). */
  k8s: () => existsSync(join(k8sFolder, '.stamp')),
  /** PyPI ai-edge-litert in a virtual environment of the tests. */
  litert: () => existsSync(python('litert')),
  /** PyPI numpy, scipy, pandas, PyWavelets and statsmodels. */
  har: () => existsSync(python('har')),
  mosquitto: () => onPath('mosquitto') && onPath('mosquitto_pub'),
  /** A file system of a size that only one process sees. */
  mounts: () =>
    spawnSync('unshare', [...privateMounts(), 'sh', '-c', 'mount -t tmpfs -o size=1m tmpfs /mnt']).status ===
    0,
  /** Looks at manual pages with an eye of its own, beside man's. */
  mandoc: () => onPath('mandoc') && onPath('man'),
  /** Renders PDF and SVG. */
  mutool: () => onPath('mutool'),
  /** What the native virtual device is built with. */
  native: () =>
    onPath('cmake') &&
    onPath('cc') &&
    spawnSync('pkg-config', ['--exists', 'libmosquitto', 'openssl']).status === 0,
  nats: () => onPath('nats-server'),
  openssl: () => onPath('openssl'),
  /** Photographs with and without faces (scripts/pictures.sh). */
  pictures: () => existsSync(join(picturesFolder, '.stamp')),
  /** util-linux's, for limits of a process. */
  prlimit: () => onPath('prlimit'),
  /** An emulator that runs the chips' real mask ROMs: AIOT_ESP_QEMU names its folder. */
  qemu: () => qemuFolder !== '' && existsSync(join(qemuFolder, 'pc-bios')),
  /** A server, and psql. */
  /** PyPI schemathesis, paho-mqtt and tuspy. */
  platform: () => existsSync(python('platform')),
  postgres: () => onPath('psql') && existsSync('/usr/lib/postgresql'),
  /** PyPI prometheus_client, which reads what Prometheus reads. */
  prometheus: () => existsSync(python('prometheus')),
  /** The distribution project's registry, and crane (scripts/registry.sh). */
  registry: () => existsSync(join(registryFolder, '.stamp')),
  redis: () => onPath('redis-server') && onPath('redis-cli'),
  /** The system's Python, for what needs a terminal of its own. */
  python3: () => onPath('python3'),
  /** The compiler for the instruction set of a C3, and its addr2line. */
  riscv: () => onPath('riscv64-unknown-elf-gcc') && onPath('riscv64-unknown-elf-addr2line'),
  /** PyPI pyarrow, fastavro, cbor2, msgpack, protobuf, standardwebhooks, moto, pandas and nats-py. */
  streams: () => existsSync(python('streams')),
  /** Checks a unit without running it. */
  systemd: () => onPath('systemd-analyze') && onPath('systemd-notify'),
  /** Sees the calls of a process to the kernel; not where a container forbids it. */
  strace: () => spawnSync('strace', ['-qq', '-o', '/dev/null', 'true']).status === 0,
  /** Gives a simulated chip a pty. */
  socat: () => onPath('socat'),
  /** All recordings of the motion system with their features: 33 MB, too large for this repository. */
  recordings: () => existsSync(recordingsFolder),
  /** Debian's, which reads hawkBit's API; images for it are signed with openssl. */
  swupdate: () => onPath('swupdate') && onPath('swupdate-ipc') && onPath('openssl'),
  tar: () => onPath('tar'),
  /** PyPI tensorflow-cpu and keras: the peer that trains, and the converter of files. */
  tensorflow: () => existsSync(python('tensorflow')),
  /** npm's tfjs-node, built here (scripts/tfjs-node.sh). */
  'tfjs-node': () => existsSync(join(tfjsNode, '.stamp')),
  /** PyPI tflite-micro, in an environment of its own: it wants another numpy. */
  tflm: () => existsSync(python('tflm')),
  /** An S3 server that checks signatures (scripts/versitygw.sh). */
  versitygw: () => existsSync(versitygwProgram),
  /** A process whose user has a number and no name. */
  users: () => spawnSync('unshare', [...asNobody('/dev/null'), 'true']).status === 0,
  zsh: () => onPath('zsh') && onPath('python3'),
} as const;
export type RealPart = keyof typeof parts;

/**
 * A shell line that runs its arguments where no user has a name: in mounts of
 * their own. The number stays, for another could not read every checkout.
 */
const nameless = 'mount --bind /dev/null /etc/passwd && mount --bind "$0" /etc/nsswitch.conf && exec "$@"';

/** Words for unshare, before a command that is to run for a user without a name; `nsswitch` is a file with `passwd: files`. */
export const asNobody = (nsswitch: string): string[] => ['--mount', 'sh', '-c', nameless, nsswitch];

/** Beside the checkout; may be absent. */
export const recordingsFolder = join(root, '..', 'shared', 'data', 'har');
export const flashSamplesFolder = join(root, '..', 'shared', 'flash-samples');

/** The folder that scripts/aarch64.sh makes. */
export const aarch64Folder = join(root, '.venv', 'aarch64');

/** The folder that scripts/pictures.sh makes. */
export const picturesFolder = join(root, '.venv', 'pictures');

/** The folder that scripts/tfjs-node.sh installs tfjs-node into. */
export const tfjsNode = join(root, '.venv', 'tfjs-node');

/** The program that scripts/cloud-init.sh makes. */
export const cloudInitSchema = join(root, '.venv', 'cloud-init', 'schema');

/** The program that scripts/argo-lint.sh makes. */
export const argoLintProgram = join(root, '.venv', 'argo-lint', 'bin', 'argo-lint');
export const argoEventsLintProgram = join(root, '.venv', 'argo-lint', 'bin', 'argo-events-lint');

/** The program that scripts/dockerfile.sh makes. */
export const dockerfileCheck = join(root, '.venv', 'dockerfile', 'bin', 'dockerfile-check');

/** The folder that scripts/k8s-tools.sh makes. */
export const k8sFolder = join(root, '.venv', 'k8s');

/** The program that scripts/guide-clients.sh makes. */
export const guideClients = join(root, '.venv', 'guide-clients', 'bin', 'guide-clients');

/** The folder that scripts/registry.sh makes. */
export const registryFolder = join(root, '.venv', 'registry');
export const registryProgram = join(registryFolder, 'bin', 'registry');

/** The program that scripts/versitygw.sh makes. */
export const versitygwProgram = join(root, '.venv', 'versitygw', 'bin', 'versitygw');

/** Folder with qemu-system-xtensa and qemu-system-riscv32 that know `-machine esp32` and `esp32c3`, or ''. */
export const qemuFolder = process.env.AIOT_ESP_QEMU ?? '';

export function python(
  environment:
    | 'ci'
    | 'sbom'
    | 'delta'
    | 'esptool'
    | 'guide'
    | 'har'
    | 'litert'
    | 'platform'
    | 'prometheus'
    | 'streams'
    | 'tensorflow'
    | 'tflm',
): string {
  return join(root, '.venv', environment, 'bin', 'python');
}

function onPath(program: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${program} || test -x /usr/sbin/${program}`]).status === 0;
}

/** `describe` when the part is there. A missing part is skipped and printed as skipped; with CI=true it fails the run. */
export function describeReal(part: RealPart, name: string, body: () => void): void {
  if (parts[part]()) {
    describe(name, body);
    return;
  }
  if (process.env.CI === 'true' && !mayBeMissing(part)) throw new Error(`real part missing: ${part}`);
  process.stderr.write(`skipped, no ${part} here: ${name}\n`);
  // The body is not run: what it prepares comes from the part itself.
  describe.skip(name, () => {
    it(`needs ${part}`, () => {});
  });
}

/** Even in CI: data and an emulator beside the checkout, and tfjs-node where Node is too new for it. */
function mayBeMissing(part: RealPart): boolean {
  return (
    part === 'recordings' ||
    part === 'flash-samples' ||
    part === 'qemu' ||
    (part === 'tfjs-node' && Number.parseInt(process.versions.node, 10) >= 23)
  );
}
