import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'vitest';
import { type Part, parts } from '../../scripts/parts/table.js';
import { root } from './cli.js';
import { missingPart } from './real-tests-reporter.js';

export type RealPart = keyof typeof parts;

/**
 * A shell line that runs its arguments with separate mounts, in which the user has no name. The user id stays the same,
 * because another user might be unable to read the checkout.
 */
const nameless = 'mount --bind /dev/null /etc/passwd && mount --bind "$0" /etc/nsswitch.conf && exec "$@"';

/**
 * Arguments of unshare that precede a command and make it run as a user without a name; `nsswitch` is a file with
 * `passwd: files`.
 */
export const asNobody = (nsswitch: string): string[] => ['--mount', 'sh', '-c', nameless, nsswitch];

/** Optional folder next to the checkout. */
export const recordingsFolder = join(root, '..', 'shared', 'data', 'har');
export const flashSamplesFolder = join(root, '..', 'shared', 'flash-samples');

/** The folder created by scripts/parts/aarch64.sh. */
export const aarch64Folder = join(root, '.venv', 'aarch64');

/** The folder created by scripts/parts/pictures.sh. */
export const picturesFolder = join(root, '.venv', 'pictures');

/** The interpreter of the environment created by scripts/parts/home-assistant.sh. */
export const homeAssistantPython = join(root, '.venv', 'home-assistant', 'bin', 'python');

/** The folder where scripts/parts/improv.sh installs Improv's client library. */
export const improvSdk = join(root, '.venv', 'improv');

/** The folder where scripts/parts/tfjs-node.sh installs tfjs-node. */
export const tfjsNode = join(root, '.venv', 'tfjs-node');

/** The program built by scripts/parts/cloud-init.sh. */
export const cloudInitSchema = join(root, '.venv', 'cloud-init', 'schema');

/** The program built by scripts/parts/argo-lint.sh. */
export const argoLintProgram = join(root, '.venv', 'argo-lint', 'bin', 'argo-lint');
export const argoEventsLintProgram = join(root, '.venv', 'argo-lint', 'bin', 'argo-events-lint');

/** The program built by scripts/parts/dockerfile.sh. */
export const dockerfileCheck = join(root, '.venv', 'dockerfile', 'bin', 'dockerfile-check');

/** The program built by scripts/parts/otel-collector.sh. */
export const otelCollector = join(root, '.venv', 'otel-collector', 'bin', 'collector');

/** The folder created by scripts/parts/k8s-tools.sh. */
export const k8sFolder = join(root, '.venv', 'k8s');

/** The program built by scripts/parts/guide-clients.sh. */
export const guideClients = join(root, '.venv', 'guide-clients', 'bin', 'guide-clients');

/** The programs built by scripts/parts/mqtt-go.sh and mqtt-rust.sh. */
export const mqttGo = join(root, '.venv', 'mqtt-go', 'bin', 'mqtt-go');
export const mqttRust = join(root, '.venv', 'mqtt-rust', 'bin', 'mqtt-rust');

/** The folder created by scripts/parts/registry.sh. */
export const registryFolder = join(root, '.venv', 'registry');
export const registryProgram = join(registryFolder, 'bin', 'registry');

/** Folder with qemu-system-xtensa and qemu-system-riscv32 that support `-machine esp32` and `esp32c3`, or ''. */
export const qemuFolder = process.env.AIOT_ESP_QEMU ?? '';

/** The program `garage`, or ''. */
export const garageProgram = process.env.AIOT_GARAGE ?? '';

/** The folder of the packages in a Python environment. */
export function pythonPackages(environment: string): string {
  const lib = join(root, '.venv', environment, 'lib');
  return join(lib, readdirSync(lib)[0]!, 'site-packages');
}

export function python(
  environment:
    | 'asciinema'
    | 'ci'
    | 'sbom'
    | 'schema-registry'
    | 'sklearn'
    | 'delta'
    | 'esptool'
    | 'guide'
    | 'har'
    | 'libraries'
    | 'librosa'
    | 'litert'
    | 'mcuboot'
    | 'mqtt-python'
    | 'onnx'
    | 'torch'
    | 'pillow'
    | 'platform'
    | 'prometheus'
    | 'smtp'
    | 'sparkplug'
    | 'streams'
    | 'tensorflow'
    | 'tflm'
    | 'wakeword',
): string {
  return join(root, '.venv', environment, 'bin', 'python');
}

/** Time after which no more tests with real parts begin, in seconds since 1970; `.ci/run` sets it (decision 052). */
const until = Number(process.env.AIOT_TESTS_UNTIL || Number.POSITIVE_INFINITY);

/**
 * `describe` if the part is installed. A missing part is reported, and its tests are skipped; with CI=true, it makes
 * the run fail. Tests for which no time is left are reported and skipped, too.
 */
export function describeReal(part: RealPart, name: string, body: () => void): void {
  const { ready, optional = false }: Part = parts[part];
  // The body is not run, because its setup needs the part.
  const leaveOut = (why: string, missing: string) => {
    process.stderr.write(`skipped, ${why}: ${name}\n`);
    describe.skip(name, () => {
      it(`${missingPart}${missing}`, () => {});
    });
  };
  if (Date.now() / 1000 > until) leaveOut('no time left', 'time');
  else if (ready()) describe(name, body);
  else if (process.env.CI === 'true' && !optional)
    throw new Error(`real part missing: npm run parts -- ${part}`);
  else leaveOut(`no ${part} here (npm run parts -- ${part})`, part);
}
