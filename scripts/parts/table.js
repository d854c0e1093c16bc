// The third-party parts that the second ring of tests uses: a table for `npm run parts`, for the tests, which skip missing parts
// (test/support/real.ts), and for CI. Parts that are not in Debian are built in .venv/NAME.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const made = join(root, '.venv');

/**
 * @typedef {object} Part
 * @property {string} for the part's purpose in the tests
 * @property {number} mb disk space in MiB on x64 Debian 12, of a folder in .venv or of the named Debian packages without their
 * dependencies; 0 = less than 0.5
 * @property {string[]} [apt] Debian packages
 * @property {string[]} [python] requirements of a virtual environment in .venv/NAME; options of pip precede the requirements to
 * which they apply
 * @property {string} [script] script in scripts/parts that builds it; does nothing if it is already built
 * @property {string[]} [after] parts required to build it
 * @property {() => boolean} ready whether it can be used
 * @property {string} [elsewhere] reason why this script does not install it
 * @property {boolean} [optional] its tests may be skipped in CI, too
 * @property {boolean} [byName] installed only by its name, because of its size
 */

/** @param {...string} programs */
const onPath = (...programs) =>
  programs.every((program) =>
    `${process.env.PATH ?? ''}:/usr/sbin`
      .split(':')
      .some((folder) => folder !== '' && existsSync(join(folder, program))),
  );
/** @param {string} path below .venv */
const isMade = (path) => existsSync(join(made, path));
/** @param {string} command @param {string[]} args */
const works = (command, args) => spawnSync(command, args).status === 0;

/** Whether Home Assistant's Python is installed; Debian 12 does not have it. */
const hasPython313 = () =>
  works('python3.13', ['--version']) || works('sh', ['-c', 'ls ~/.pyenv/versions/3.13.*/bin/python3']);

/** Options of `unshare` for private mounts: directly if run by root, otherwise in a user namespace. */
const privateMounts = () => (process.getuid?.() === 0 && works('unshare', ['-m', 'true']) ? ['-m'] : ['-rm']);

/**
 * @param {string} name
 * @param {string[]} requirements
 * @returns {{ apt: string[], python: string[], ready: () => boolean }}
 */
const environment = (name, requirements) => ({
  apt: ['python3-venv'],
  python: requirements,
  ready: () => stampOf(name) === environmentStamp(name),
});

/**
 * The commit before the newest change of the database's schema; empty in a shallow clone, or without git. AIOT_UPGRADE_FROM names
 * another one.
 * @returns {string}
 */
export function earlierCommit() {
  const git = (/** @type {string[]} */ ...args) => {
    const { status, stdout } = spawnSync('git', args, { cwd: root, encoding: 'utf8' });
    return status === 0 ? stdout.trim() : '';
  };
  const named = process.env.AIOT_UPGRADE_FROM;
  if (named) return git('rev-parse', '--verify', '--quiet', `${named}^{commit}`);
  const [parent = ''] = git('log', '-1', '--format=%P', '--', 'src/lib/platform/store/migrations.ts').split(
    ' ',
  );
  return parent && git('cat-file', '-t', `${parent}:package.json`) === 'blob' ? parent : '';
}

/** @satisfies {Record<string, Part>} */
export const parts = {
  asciinema: {
    for: 'asciinema, which plays recordings of shells',
    mb: 1,
    ...environment('asciinema', ['asciinema==2.4.0']),
  },
  aarch64: {
    for: 'running a loop as on a Raspberry Pi: Node and our packages for 64-bit Arm, in an emulator',
    mb: 433,
    apt: ['qemu-user-static', 'libc6-arm64-cross', 'libstdc++6-arm64-cross', 'libgcc-s1-arm64-cross'],
    script: 'aarch64.sh',
    ready: () => isMade('aarch64/.stamp') && onPath('qemu-aarch64-static'),
  },
  'argo-lint': {
    for: 'the checks of `argo lint` and `argo-events lint`',
    mb: 121,
    apt: ['golang-go'],
    script: 'argo-lint.sh',
    ready: () => isMade('argo-lint/bin/argo-lint') && isMade('argo-lint/bin/argo-events-lint'),
  },
  cc: {
    for: 'compiling emitted C',
    mb: 12,
    apt: ['gcc', 'libc6-dev'],
    ready: () => onPath('cc'),
  },
  chromium: {
    for: 'the dashboard and reports in a browser',
    mb: 283,
    apt: ['chromium'],
    ready: () => onPath('chromium'),
  },
  ci: {
    for: 'validating files for CI systems: JUnit XML, and the schemas of GitHub and GitLab',
    mb: 44,
    ...environment('ci', ['junitparser==5.0.3', 'check-jsonschema==0.39.0']),
  },
  'cloud-init': {
    for: "checking user data with Debian's cloud-init (unpacked, not installed)",
    mb: 44,
    apt: ['python3-venv'],
    script: 'cloud-init.sh',
    ready: () => isMade('cloud-init/schema'),
  },
  cmake: {
    for: 'building the firmware for this machine, and comparing it with mbedTLS',
    mb: 45,
    apt: ['cmake', 'make', 'gcc', 'libc6-dev', 'libmbedtls-dev', 'ccache'],
    ready: () => onPath('cmake', 'cc', 'make') && existsSync('/usr/include/mbedtls/pk.h'),
  },
  curl: { for: 'an HTTP client', mb: 0, apt: ['curl'], ready: () => onPath('curl') },
  cxx: { for: 'compiling emitted C++', mb: 0, apt: ['g++'], ready: () => onPath('g++') },
  delta: {
    for: 'detools, whose patch format is ours',
    mb: 61,
    after: ['cc'],
    ...environment('delta', ['--no-binary=detools', 'detools==0.53.0']),
    apt: ['python3-venv', 'python3-dev', 'gcc', 'libc6-dev'],
  },
  dockerfile: {
    for: "BuildKit's parser and linter of Dockerfiles",
    mb: 19,
    apt: ['golang-go'],
    script: 'dockerfile.sh',
    ready: () => isMade('dockerfile/bin/dockerfile-check'),
  },
  espeak: {
    for: 'espeak-ng, which speaks the words of the template keyword-spotting',
    mb: 12,
    apt: ['espeak-ng'],
    ready: () => onPath('espeak-ng'),
  },
  espflash: {
    for: 'espflash, a flashing tool, with a simulated chip in its own mount namespace (Rust 1.88 or newer builds it)',
    mb: 21,
    script: 'espflash.sh',
    ready: () => isMade('espflash/bin/espflash') && works('unshare', [...privateMounts(), 'true']),
  },
  esptool: {
    for: "Espressif's esptool and NVS generator",
    mb: 70,
    ...environment('esptool', [
      '--no-binary=esptool,reedsolo,intelhex',
      'esptool==5.6.0',
      'esp-idf-nvs-partition-gen==0.3.0',
    ]),
  },
  ffmpeg: {
    for: 'cameras and video',
    mb: 2,
    apt: ['ffmpeg'],
    ready: () => onPath('ffmpeg'),
  },
  fish: { for: 'completion', mb: 5, apt: ['fish'], ready: () => onPath('fish') },
  'flash-samples': {
    for: "traces of real mask ROMs, and images of the vendor's NVS generator",
    mb: 0,
    elsewhere: 'recordings beside the checkout (../shared/flash-samples)',
    optional: true,
    ready: () => existsSync(join(root, '..', 'shared', 'flash-samples')),
  },
  garage: {
    for: "Garage's nodes with the rendered configuration and setup",
    mb: 0,
    elsewhere:
      'AIOT_GARAGE names the program: cargo install garage --version 2.5.0, which takes half an hour',
    optional: true,
    ready: () => existsSync(process.env.AIOT_GARAGE || '/nowhere'),
  },
  guide: {
    for: "the guide's Python libraries in their versions of that time, and TensorFlow for the steps that train",
    mb: 33,
    after: ['tensorflow'],
    ...environment('guide', [
      '--no-binary=paho-mqtt',
      'kafka-python==2.0.2',
      'paho-mqtt==1.6.1',
      'requests==2.34.2',
    ]),
  },
  'guide-clients': {
    for: "clients with the guide's Go libraries",
    mb: 9,
    apt: ['golang-go'],
    script: 'guide-clients.sh',
    ready: () => isMade('guide-clients/bin/guide-clients'),
  },
  har: {
    for: "the libraries of the motion system's extractor: NumPy, SciPy, pandas, PyWavelets, statsmodels",
    mb: 414,
    ...environment('har', [
      'numpy==2.4.6',
      'scipy==1.17.1',
      'pandas==3.1.1',
      'PyWavelets==1.9.0',
      'statsmodels==0.15.0',
    ]),
  },
  history: {
    for: 'an earlier version of aiot, from which the tests upgrade',
    mb: 0,
    elsewhere: 'a clone with its history: git fetch --unshallow',
    optional: true,
    ready: () => earlierCommit() !== '',
  },
  'home-assistant': {
    for: "Home Assistant's MQTT schemas and templates",
    mb: 420,
    apt: ['gcc'],
    script: 'home-assistant.sh',
    optional: !hasPython313(),
    ready: () => isMade('home-assistant/.stamp'),
  },
  improv: {
    for: "the Improv project's own client library",
    mb: 21,
    script: 'improv.sh',
    ready: () => isMade('improv/.stamp'),
  },
  k8s: {
    for: 'kubeconform and the schemas of Kubernetes, Strimzi, Argo and CloudNativePG',
    mb: 275,
    apt: ['golang-go', 'python3-venv'],
    script: 'k8s-tools.sh',
    ready: () => isMade('k8s/.stamp') && isMade('k8s/schemas/postgresql.cnpg.io'),
  },
  kafka: {
    for: 'Apache Kafka 4.1.0 and 3.9.1',
    mb: 88,
    apt: ['default-jre-headless', 'maven'],
    script: 'kafka.sh',
    ready: () => isMade('kafka/4.1.0/.stamp') && isMade('kafka/3.9.1/.stamp') && onPath('java'),
  },
  kcat: { for: "librdkafka's command", mb: 0, apt: ['kcat'], ready: () => onPath('kcat') },
  libraries: {
    for: "Espressif's component manager and PlatformIO, which read the manifests of the firmware library",
    mb: 77,
    ...environment('libraries', ['platformio==6.2.0', 'idf-component-manager==3.1.2']),
  },
  librosa: {
    for: 'librosa, whose mel spectrograms and cepstral coefficients are the reference for ours',
    mb: 527,
    ...environment('librosa', ['librosa==0.11.0']),
  },
  litert: {
    for: "Google's LiteRT",
    mb: 163,
    ...environment('litert', ['ai-edge-litert==2.3.0']),
  },
  mandoc: {
    for: 'checking manual pages',
    mb: 4,
    apt: ['mandoc', 'man-db'],
    ready: () => onPath('mandoc', 'man'),
  },
  magika: {
    for: 'a real ONNX model with integer inputs, the Magika classifier of files',
    mb: 62,
    ...environment('magika', ['--no-deps', 'magika==1.0.3']),
  },
  mcuboot: {
    for: "MCUboot's imgtool, an SMP client, and a reader and writer of UF2 files",
    mb: 70,
    ...environment('mcuboot', [
      '--no-binary=crcmod',
      'imgtool==2.5.0',
      'smp==4.2.0',
      'smpclient[serial]==7.3.0',
      'uf2utils==0.9.8',
    ]),
    apt: ['python3-venv', 'python3-dev', 'gcc', 'libc6-dev'],
  },
  mlflow: {
    for: "MLflow's client, which reads exported training runs",
    mb: 142,
    ...environment('mlflow', ['mlflow-skinny==3.17.2']),
  },
  mosquitto: {
    for: 'the Mosquitto broker and its clients',
    mb: 1,
    apt: ['mosquitto', 'mosquitto-clients'],
    ready: () => onPath('mosquitto', 'mosquitto_pub'),
  },
  mounts: {
    for: 'a file system of limited size that only one process sees',
    mb: 0,
    elsewhere: 'needs root, or a kernel that gives users mount namespaces',
    ready: () => works('unshare', [...privateMounts(), 'sh', '-c', 'mount -t tmpfs -o size=1m tmpfs /mnt']),
  },
  'mqtt-go': {
    for: 'the Eclipse MQTT clients for Go (Go 1.24 or newer builds them)',
    mb: 7,
    script: 'mqtt-go.sh',
    ready: () => isMade('mqtt-go/bin/mqtt-go'),
  },
  'mqtt-python': {
    for: 'MQTT clients for Python: the Eclipse client, aiomqtt',
    mb: 27,
    ...environment('mqtt-python', ['paho-mqtt==2.1.0', 'aiomqtt==2.5.1']),
  },
  'mqtt-rust': {
    for: 'rumqttc, an MQTT client for Rust (Rust 1.85 or newer builds it)',
    mb: 10,
    script: 'mqtt-rust.sh',
    ready: () => isMade('mqtt-rust/bin/mqtt-rust'),
  },
  mutool: {
    for: 'rendering PDF and SVG',
    mb: 84,
    apt: ['mupdf-tools'],
    ready: () => onPath('mutool'),
  },
  native: {
    for: 'building the native virtual device',
    mb: 54,
    apt: ['cmake', 'make', 'gcc', 'libc6-dev', 'pkg-config', 'libssl-dev', 'libmosquitto-dev'],
    ready: () => onPath('cmake', 'cc') && works('pkg-config', ['--exists', 'libmosquitto', 'openssl']),
  },
  nats: {
    for: 'the NATS server',
    mb: 11,
    apt: ['nats-server'],
    ready: () => onPath('nats-server'),
  },
  'nats-server': {
    for: 'the NATS server with the current MQTT listener (Go 1.25 or newer builds it)',
    mb: 16,
    script: 'nats-server.sh',
    ready: () => isMade('nats-server/bin/nats-server'),
  },
  nginx: {
    for: 'a peer of the benchmarks',
    mb: 1,
    apt: ['nginx'],
    ready: () => onPath('nginx'),
  },
  onnx: {
    for: 'ONNX Runtime, the tests of the ONNX package, exporters from TensorFlow and scikit-learn',
    mb: 476,
    after: ['tensorflow'],
    ...environment('onnx', [
      'onnx==1.18.0',
      'onnxruntime==1.32.0',
      'tf2onnx==1.17.0',
      'skl2onnx==1.20.0',
      'scikit-learn==1.9.1',
    ]),
  },
  openssl: {
    for: 'certificates and signatures from an independent implementation',
    mb: 2,
    apt: ['openssl'],
    ready: () => onPath('openssl'),
  },
  packaging: {
    for: 'lintian, which checks the Debian package',
    mb: 7,
    apt: ['lintian'],
    ready: () => onPath('lintian'),
  },
  'otel-collector': {
    for: 'the OpenTelemetry collector',
    mb: 32,
    apt: ['golang-go'],
    script: 'otel-collector.sh',
    ready: () => isMade('otel-collector/bin/collector'),
  },
  pictures: {
    for: 'photographs with and without faces',
    mb: 7,
    script: 'pictures.sh',
    ready: () => isMade('pictures/.stamp'),
  },
  pillow: {
    for: 'Pillow, whose conversion to gray, crop and resize are the reference for ours',
    mb: 24,
    ...environment('pillow', ['pillow==12.1.0']),
  },
  platform: {
    for: 'an OpenAPI fuzzer, the Eclipse MQTT client, resumable uploads',
    mb: 108,
    ...environment('platform', [
      'schemathesis==4.32.5',
      'paho-mqtt==2.1.0',
      'tuspy==1.1.0',
      'rfc8785==0.1.4',
    ]),
  },
  postgres: {
    for: 'PostgreSQL',
    mb: 0,
    apt: ['postgresql'],
    ready: () => onPath('psql') && existsSync('/usr/lib/postgresql'),
  },
  prlimit: {
    for: 'prlimit, which limits the resources of a process',
    mb: 5,
    apt: ['util-linux'],
    ready: () => onPath('prlimit'),
  },
  promtool: {
    for: "Prometheus's checks of rules and configurations",
    mb: 93,
    apt: ['prometheus'],
    ready: () => onPath('promtool'),
  },
  prometheus: {
    for: "Prometheus's parser of metrics",
    mb: 26,
    ...environment('prometheus', ['prometheus_client==0.26.0']),
  },
  python3: {
    for: 'running the program in a terminal',
    mb: 0,
    apt: ['python3'],
    ready: () => onPath('python3'),
  },
  qemu: {
    for: "an emulator that runs the chips' real mask ROMs",
    mb: 0,
    elsewhere: 'AIOT_ESP_QEMU names its folder',
    optional: true,
    ready: () => existsSync(join(process.env.AIOT_ESP_QEMU || '/nowhere', 'pc-bios')),
  },
  recordings: {
    for: 'all 53 recordings of the motion system with their features (33 MB)',
    mb: 0,
    elsewhere: 'data beside the checkout (../shared/data/har)',
    optional: true,
    ready: () => existsSync(join(root, '..', 'shared', 'data', 'har')),
  },
  redis: {
    for: 'Redis',
    mb: 6,
    apt: ['redis-server', 'redis-tools'],
    ready: () => onPath('redis-server', 'redis-cli'),
  },
  registry: {
    for: "the distribution project's OCI registry, and crane",
    mb: 65,
    apt: ['golang-go'],
    script: 'registry.sh',
    ready: () => isMade('registry/.stamp'),
  },
  riscv: {
    for: "the compiler and emulator of the ESP32-C3's instruction set",
    mb: 1369,
    apt: ['gcc-riscv64-unknown-elf', 'picolibc-riscv64-unknown-elf', 'qemu-system-misc'],
    ready: () => onPath('riscv64-unknown-elf-gcc', 'riscv64-unknown-elf-addr2line', 'qemu-system-riscv32'),
  },
  sbom: {
    for: "CycloneDX's schemas, which validate the bill of materials",
    mb: 44,
    ...environment('sbom', ['cyclonedx-python-lib[json-validation]==11.12.0']),
  },
  'schema-registry': {
    for: "Confluent's client of schema registries with its Avro, JSON Schema and Protobuf serializers, and fastavro",
    mb: 93,
    ...environment('schema-registry', [
      'confluent-kafka[avro,json,protobuf,schemaregistry]==2.16.1',
      'fastavro==1.13.1',
      'protobuf==7.36.2',
    ]),
  },
  smtp: {
    for: 'a mail server that judges the mails of alarms',
    mb: 28,
    ...environment('smtp', ['aiosmtpd==1.4.6']),
  },
  silero: {
    for: 'a real ONNX model, the Silero voice activity detector',
    mb: 39,
    ...environment('silero', ['--no-deps', 'silero-vad==6.2.3']),
  },
  sklearn: {
    for: 'scikit-learn: its small tables, and logistic regression on the same rows',
    mb: 330,
    ...environment('sklearn', ['scikit-learn==1.9.1']),
  },
  socat: {
    for: 'socat, which connects a simulated chip to a pseudo-terminal',
    mb: 1,
    apt: ['socat'],
    ready: () => onPath('socat'),
  },
  softhsm: {
    for: 'SoftHSM, a PKCS#11 module in software, and pkcs11-tool',
    mb: 5,
    apt: ['softhsm2', 'opensc'],
    ready: () => onPath('softhsm2-util', 'pkcs11-tool'),
  },
  strace: {
    for: 'strace, which shows system calls',
    mb: 3,
    apt: ['strace'],
    ready: () => works('strace', ['-qq', '-o', '/dev/null', 'true']),
  },
  sparkplug: {
    for: "Sparkplug clients for Python: pysparkplug, and Eclipse Tahu's classes",
    mb: 22,
    ...environment('sparkplug', [
      '--no-binary=paho-mqtt,mqtt-spb-wrapper',
      'pysparkplug==0.3.2',
      'mqtt-spb-wrapper==2.1.2',
      'paho-mqtt==1.6.1',
      'protobuf==3.20.3',
    ]),
  },
  streams: {
    for: 'independent implementations of Parquet, Avro, CBOR, MessagePack, Protobuf, webhooks, S3 (moto) and a NATS client',
    mb: 485,
    ...environment('streams', [
      'pyarrow==26.0.1',
      'fastavro==1.13.1',
      'cbor2==6.2.1',
      'msgpack==1.2.4',
      'protobuf==7.36.2',
      'standardwebhooks==1.1.0',
      'moto==5.2.5',
      'flask==3.1.3',
      'flask-cors==6.0.5',
      'pandas==3.1.1',
      '--no-binary=nats-py',
      'nats-py==2.3.1',
    ]),
  },
  swupdate: {
    for: "SWUpdate, a client of hawkBit's API",
    mb: 3,
    apt: ['swupdate', 'openssl'],
    ready: () => onPath('swupdate', 'swupdate-ipc', 'openssl'),
  },
  systemd: {
    for: 'reading units',
    mb: 9,
    apt: ['systemd'],
    ready: () => onPath('systemd-analyze', 'systemd-notify'),
  },
  tar: { for: 'reading bundles', mb: 3, apt: ['tar'], ready: () => onPath('tar') },
  tensorflow: {
    for: 'TensorFlow with Keras and its converter',
    mb: 1336,
    ...environment('tensorflow', ['tensorflow-cpu==2.18.1', 'keras==3.15.1']),
  },
  'tfjs-node': {
    for: "TensorFlow's kernels for Node, built with the libraries of the Python package",
    mb: 303,
    apt: ['g++', 'make'],
    after: ['tensorflow'],
    script: 'tfjs-node.sh',
    optional: Number.parseInt(process.versions.node, 10) >= 23,
    ready: () => isMade('tfjs-node/.stamp'),
  },
  tflm: {
    for: 'TensorFlow Lite Micro',
    mb: 105,
    ...environment('tflm', ['tflite-micro==0.dev20261023182759']),
  },
  'tflite-c': {
    for: "TensorFlow Lite's C library, for comparison in the benchmarks",
    mb: 4,
    script: 'tflite-c.sh',
    ready: () => isMade('tflite-c/.stamp'),
  },
  torch: {
    for: 'PyTorch and its two exporters to ONNX; run by .ci/nightly',
    mb: 5500,
    optional: true,
    byName: true,
    ...environment('torch', ['torch==2.15.0', 'onnxscript==0.7.2', 'onnx==1.23.2']),
  },
  users: {
    for: 'running a process as a user with an ID but no name',
    mb: 0,
    elsewhere: 'needs root, or a kernel that gives users mount namespaces',
    ready: () =>
      works('unshare', [
        '--mount',
        'sh',
        '-c',
        'mount --bind /dev/null /etc/passwd && mount --bind /dev/null /etc/nsswitch.conf',
      ]),
  },
  versitygw: {
    for: 'an S3 server that checks signatures',
    mb: 59,
    apt: ['golang-go'],
    script: 'versitygw.sh',
    ready: () => isMade('versitygw/bin/versitygw'),
  },
  wakeword: {
    for: 'real streaming models, four wake words, and the features of their audio front end',
    mb: 31,
    ...environment('wakeword', ['--no-deps', 'pymicro-wakeword==2.5.0', 'pymicro-features==2.0.2']),
  },
  zsh: {
    for: 'completion',
    mb: 2,
    apt: ['zsh'],
    after: ['python3'],
    ready: () => onPath('zsh', 'python3'),
  },
};

/** @param {string} name @returns {Part | undefined} */
export const partOf = (name) => /** @type {Record<string, Part>} */ (parts)[name];

/** Stamp of an environment: its Python version and requirements. @param {string} name @returns {string} */
export function environmentStamp(name) {
  return `${pythonVersion()} ${(partOf(name)?.python ?? []).join(' ')}`;
}

/** @param {string} name @returns {string | undefined} */
function stampOf(name) {
  const file = join(made, name, '.stamp');
  return existsSync(file) ? readFileSync(file, 'utf8').trim() : undefined;
}

/** @type {string | undefined} */
let version;
/** Version of Python, such as `Python 3.11.2`; empty without Python. @returns {string} */
function pythonVersion() {
  version ??=
    spawnSync(process.env.PYTHON ?? 'python3', ['--version'], { encoding: 'utf8' }).stdout?.trim() ?? '';
  return version;
}

/**
 * The folders of test/ whose tests need each part, found by their calls of `describeReal('NAME', …)`.
 * @returns {Map<string, Set<string>>} part name → folders
 */
export function usersOfParts() {
  /** @type {Map<string, Set<string>>} */
  const users = new Map();
  const tests = join(root, 'test');
  const files = readdirSync(tests, { recursive: true }).map(String);
  for (const file of files.filter((name) => name.endsWith('.real.test.ts'))) {
    const [folder = ''] = file.split(sep);
    for (const [, part = ''] of readFileSync(join(tests, file), 'utf8').matchAll(
      /describeReal\(\s*'([\w-]+)'/g,
    ))
      users.set(part, (users.get(part) ?? new Set()).add(folder));
  }
  return users;
}

/**
 * The names of the parts selected by these words, which are parts or folders of test/. Without words, all parts.
 * @param {string[]} words
 * @throws Error for an unknown word
 */
export function chosen(words) {
  const names = Object.keys(parts);
  const users = usersOfParts();
  const folders = new Set([...users.values()].flatMap((found) => [...found]));
  const wrong = words.filter((word) => !partOf(word) && !folders.has(word));
  if (wrong.length > 0) {
    throw new Error(
      `not a part or a folder of test/: ${wrong.join(', ')}. Parts: ${names.join(', ')}. Folders: ${[...folders].sort().join(', ')}.`,
    );
  }
  const isIncluded = (/** @type {string} */ name) => !partOf(name)?.byName;
  if (words.length === 0) return names.filter(isIncluded);
  return names.filter(
    (name) => words.includes(name) || (isIncluded(name) && words.some((word) => users.get(name)?.has(word))),
  );
}
