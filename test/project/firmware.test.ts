import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { parseProject } from '../../src/lib/core/project.js';
import { nvsKeyBlock } from '../../src/lib/flash/lock/plan.js';
import { parsePartitionsCsv } from '../../src/lib/formats/partitions.js';
import type { FirmwareBuild, FirmwareContainer } from '../../src/lib/project/firmware/build.js';
import { configHeader, tablesHeader } from '../../src/lib/project/firmware/headers.js';
import type { FirmwareInit } from '../../src/lib/project/firmware/init.js';
import { sensorNotes } from '../../src/lib/project/firmware/sensors.js';
import { buildErrors } from '../../src/lib/project/firmware/tools.js';
import { root, runCli } from '../support/cli.js';

const folder = mkdtempSync(join(tmpdir(), 'aiot-firmware-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => vi.unstubAllEnvs());

const board = `name: pump
stream:
  topic: motor
  fields:
    temperature: { unit: degC }
    current: { unit: A }
signal: { rate: 10, window: 40, stride: 20, features: spectral }
model: { labels: { normal: [ok], anomaly: [bad] } }
firmware: { version: 1.2.3, type: pump-board, clamp: { turns: 2000, burden: 16 }, servo: false }
`;
const configOf = (text: string) => parseProject(text, 'aiot.yaml');

let count = 0;
/** Creates a separate project folder. */
function project(text = board): string {
  const dir = join(folder, `p${++count}`);
  mkdirSync(dir);
  writeFileSync(join(dir, 'aiot.yaml'), text);
  return dir;
}

const init = (dir: string, own: string, ...more: string[]) =>
  runCli(['firmware', 'init', dir, '--project', own, ...more, '--json']);

async function contents(dir: string): Promise<Record<string, string>> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Object.fromEntries(files.map((file) => [file.slice(dir.length), readFileSync(file, 'base64')]));
}

describe('aiot firmware init', () => {
  it('creates the folder firmware in the project, wherever the command runs, and names it', async () => {
    const own = project();
    const { stdout, code } = await runCli(['firmware', 'init', '--project', own, '--no-color']);
    expect(code).toBe(0);
    expect(stdout).toContain(join(own, 'firmware'));
    expect(stdout).toContain(`aiot firmware build ${join(own, 'firmware')}`);
    expect(existsSync(join(own, 'firmware', 'core'))).toBe(true);
    expect(existsSync('firmware/aiot-firmware.json')).toBe(false);
  });

  it('copies the sources and generates files from aiot.yaml, reproducible to the byte', async () => {
    const own = project();
    const first = await init(join(own, 'a'), own);
    const second = await init(join(own, 'b'), own);
    expect([first.code, second.code]).toEqual([0, 0]);
    expect(first.json).toMatchObject({
      ...{ dir: join(own, 'a'), project: own, name: 'pump', sensor: 'guide', notes: [] },
      generated: ['generated/aiot_config.h', 'generated/aiot_tables.h', 'hal/esp32/partitions.csv'],
    });
    const files = await contents(join(own, 'a'));
    expect(await contents(join(own, 'b'))).toEqual(files);
    expect(Object.keys(files)).toHaveLength((first.json as FirmwareInit).copied + 6);
    for (const path of [
      'CMakeLists.txt',
      'core/src/device/device.c',
      'core/src/enroll/enroll.c',
      'hal/esp32/main/enroll.c',
      'hal/esp32/platformio.ini',
      'hal/host/main.c',
    ])
      expect(readFileSync(join(own, 'a', path))).toEqual(readFileSync(join(root, 'firmware', path)));
    // A later aiot command finds the project through this file.
    expect(readFileSync(join(own, 'a', 'aiot-firmware.json'), 'utf8')).toContain('"project": ".."');
  });

  it('overwrites nothing, and with --force only generated files', async () => {
    const own = project();
    const dir = join(own, 'firmware');
    await init(dir, own);
    const source = join(dir, 'core', 'src', 'code.c');
    writeFileSync(source, 'mine');
    const before = await contents(dir);
    const refused = await init(dir, own);
    expect(refused.code).toBe(2);
    expect(`${refused.stdout}${refused.stderr}`).toContain('AIOT_FOLDER_NOT_EMPTY');
    expect(await contents(dir)).toEqual(before);

    const same = await init(dir, own, '--force');
    expect(same.json).toMatchObject({ copied: 0, generated: [] });
    expect(await contents(dir)).toEqual(before);

    writeFileSync(join(own, 'aiot.yaml'), board.replace('1.2.3', '1.2.4'));
    const anew = await init(dir, own, '--force');
    expect(anew.json).toMatchObject({ copied: 0, generated: ['generated/aiot_config.h'] });
    expect(readFileSync(source, 'utf8')).toBe('mine');
    expect(readFileSync(join(dir, 'generated', 'aiot_config.h'), 'utf8')).toContain('"1.2.4"');
  });

  it('writes nothing to an unrelated folder, even with --force', async () => {
    const own = project();
    const dir = join(own, 'other');
    mkdirSync(dir);
    writeFileSync(join(dir, 'letter.txt'), 'dear');
    for (const [more, code] of [
      [[], 'AIOT_FOLDER_NOT_EMPTY'],
      [['--force'], 'AIOT_FIRMWARE_MISSING'],
    ] as const) {
      const { stdout, stderr } = await init(dir, own, ...more);
      expect(`${stdout}${stderr}`).toContain(code);
    }
    expect(await contents(dir)).toEqual({ '/letter.txt': Buffer.from('dear').toString('base64') });
  });

  it.runIf(process.platform === 'linux')(
    'reports a folder that cannot be created instead of retrying forever',
    async () => {
      const { code, stdout, stderr } = await init('/proc/aiot/firmware', project());
      expect(code).toBe(1);
      expect(`${stdout}${stderr}`).toContain('AIOT_FILE_NOT_WRITABLE');
    },
  );

  it('requires a project, and writes nothing without one', async () => {
    const empty = join(folder, 'empty');
    mkdirSync(empty);
    const { code, stdout, stderr } = await init(join(empty, 'firmware'), empty);
    expect(code).toBe(4);
    expect(`${stdout}${stderr}`).toContain('AIOT_PROJECT_NOT_FOUND');
    expect(await readdir(empty)).toEqual([]);
  });
});

describe('firmware files generated from aiot.yaml', () => {
  const defines = (text: string) =>
    Object.fromEntries([...text.matchAll(/^#define (\w+) (.+)$/gm)].map(([, name, value]) => [name, value]));

  it('select the sensor that provides the fields at the sampling rate', () => {
    expect(defines(configHeader(configOf(board)))).toEqual({
      AIOT_FIRMWARE_NAME: '"pump"',
      AIOT_FIRMWARE_VERSION: '"1.2.3"',
      AIOT_STREAM: '"motor"',
      AIOT_SOURCE: '1 /* guide */',
      AIOT_ADC_WINDOW_MS: '100u',
      AIOT_CT_TURNS: '2000.0',
      AIOT_CT_BURDEN_OHMS: '16.0',
      AIOT_ACTUATOR: '0',
    });
  });

  it.each([
    ['wifi', '1 /* wifi */'],
    ['rmii', '2 /* rmii */'],
    ['w5500', '3 /* w5500 */'],
  ])('select the network %s', (network, value) => {
    const config = configOf(board.replace('servo: false', `servo: false, network: ${network}`));
    expect(defines(configHeader(config))).toMatchObject({ AIOT_NETWORK: value });
    expect(readFileSync(join(root, 'firmware/hal/esp32/main/settings.h'), 'utf8')).toContain(
      `#define AIOT_NETWORK_${network.toUpperCase()} ${value[0]}\n`,
    );
  });

  it.each([
    [
      'ax: { unit: g }, ay: { unit: g }, az: { unit: g }',
      100,
      { AIOT_SOURCE: '2 /* mpu6050 */', AIOT_IMU_RATE_HZ: '100.0' },
    ],
    [
      'az: { unit: g }, gz: { unit: dps }',
      104,
      { AIOT_SOURCE: '3 /* lsm6ds3trc */', AIOT_IMU_RANGE_DPS: '500' },
    ],
    ['temperature: { unit: degC }', 1, { AIOT_SOURCE: '1 /* guide */', AIOT_ADC_WINDOW_MS: '1000u' }],
    ['level: { unit: dB }', 10, { AIOT_SOURCE: '6 /* inmp441 */' }],
    [
      'accel_x: { unit: m/s² }, gyroZ: { unit: deg/s }',
      100,
      {
        AIOT_SOURCE: '2 /* mpu6050 */',
        AIOT_FIELD_NAMES: '{{"ax", "accel_x"}, {"gz", "gyroZ"}}',
        AIOT_IMU_RANGE_DPS: '500',
      },
    ],
    [
      'x: { unit: m/s² }, y: { unit: m/s2 }, az: { unit: m/s² }',
      104,
      {
        AIOT_SOURCE: '3 /* lsm6ds3trc */',
        AIOT_FIELD_NAMES: '{{"ax", "x"}, {"ay", "y"}}',
        AIOT_IMU_PER_G: '9.80665',
      },
    ],
    ['sound: { unit: FS }', 16000, { AIOT_SOURCE: '7 /* inmp441-sound */', AIOT_SOUND_HZ: '16000u' }],
  ])('select a sensor for %s at %d Hz', (fields, rate, expected) => {
    const text = `name: p\nstream: { topic: t, fields: { ${fields} } }\nsignal: { rate: ${rate}, window: 8, stride: 8 }\n`;
    const config = configOf(text);
    expect(defines(configHeader(config))).toMatchObject(expected);
    expect(sensorNotes(config)).toEqual([]);
  });

  it('name the chip and profile that models of speech need', () => {
    const config = configOf(
      'name: p\nstream: { topic: t, fields: { sound: { unit: FS } } }\nsignal: { rate: 16000, window: 16000, stride: 8000, features: mfcc, mel: { frame: 640, hop: 320, bands: 40, low: 60, high: 7600, coefficients: 13 } }\n',
    );
    expect(sensorNotes(config)).toEqual([expect.stringContaining('`--profile large`')]);
    expect(sensorNotes(config, ['large'])).toEqual([]);
  });

  it.each([
    ['gray: { unit: counts }', 'crop', '1'],
    ['red: { unit: counts }, green: { unit: counts }, blue: { unit: counts }', 'pad', '3'],
  ])('select a camera for pictures of %s', (fields, fit, channels) => {
    const text = `name: p\nstream: { topic: t, fields: { ${fields} } }\nsignal: { features: image, image: { width: 48, height: 32, fit: ${fit} }, rate: 3072, window: 1536, stride: 1536 }\n`;
    const config = configOf(text);
    expect(defines(configHeader(config))).toMatchObject({
      AIOT_SOURCE: '8 /* ov2640 */',
      AIOT_CAMERA_WIDTH: '48',
      AIOT_CAMERA_HEIGHT: '32',
      AIOT_CAMERA_FIT: `AIOT_FIT_${fit.toUpperCase()}`,
      AIOT_CAMERA_CHANNELS: channels,
      AIOT_CAMERA_HZ: '3072.0',
    });
    expect(sensorNotes(config)).toEqual([]);
    const fast = configOf(`${text.replace('3072', '16896')}firmware: { sensor: ov2640 }\n`);
    expect(sensorNotes(fast)).toEqual([expect.stringContaining('at most 10 pictures per second, but')]);
    expect(defines(configHeader(fast))).not.toHaveProperty('AIOT_CAMERA_WIDTH');
  });

  it('select no camera for other models of the same fields', () => {
    const text = `name: p\nstream: { topic: t, fields: { gray: { unit: counts } } }\nsignal: { rate: 1, window: 1, stride: 1 }\n`;
    expect(defines(configHeader(configOf(text)))).not.toHaveProperty('AIOT_SOURCE');
    const named = configOf(`${text}firmware: { sensor: ov2640 }\n`);
    expect(sensorNotes(named)).toEqual([expect.stringContaining('signal.features is not image')]);
  });

  it('come with a note if no sensor fits or the named one does not', () => {
    const other =
      'name: p\nstream: { topic: t, fields: { torque: { unit: Nm } } }\nsignal: { rate: 100, window: 8, stride: 8 }\n';
    expect(defines(configHeader(configOf(other)))).not.toHaveProperty('AIOT_SOURCE');
    expect(sensorNotes(configOf(other))).toEqual([expect.stringContaining('No sensor of hal/esp32')]);
    const named = configOf(`${other}firmware: { sensor: mpu6050 }\n`);
    expect(sensorNotes(named)).toEqual([expect.stringContaining('but not torque of stream.fields')]);
    const twice = configOf(
      'name: p\nstream: { topic: t, fields: { ax: { unit: g }, accel_x: { unit: g } } }\nsignal: { rate: 100, window: 8, stride: 8 }\nfirmware: { sensor: mpu6050 }\n',
    );
    expect(sensorNotes(twice)).toEqual([expect.stringContaining('but not accel_x of stream.fields')]);
    const turning = configOf(
      'name: p\nstream: { topic: t, fields: { gx: { unit: rad/s }, gy: { unit: °/s } } }\nsignal: { rate: 100, window: 8, stride: 8 }\n',
    );
    expect(sensorNotes(turning)).toEqual([
      expect.stringContaining('gx, gy, gz in dps, but stream.fields declares gx in rad/s:'),
    ]);
    const fast = configOf(
      board.replace('rate: 10', 'rate: 200').replace('{ version', '{ sensor: guide, version'),
    );
    expect(sensorNotes(fast)).toEqual([expect.stringContaining('signal.rate is 200')]);
    expect(defines(configHeader(fast))).not.toHaveProperty('AIOT_ADC_WINDOW_MS');
  });

  it('list fields, features and labels with their names escaped', () => {
    const text = tablesHeader(
      configOf(
        board
          .replace('normal: [ok]', '"say \\"hi\\"??/": [ok]')
          .replace('features: spectral', 'features: [current_rms]'),
      ),
    );
    expect(defines(text)).toMatchObject({
      ...{ AIOT_FIELDS: '2', AIOT_FEATURES: '1', AIOT_LABELS: '2', AIOT_DEVICE_TYPE: '"pump-board"' },
      AIOT_TOPIC_TELEMETRY: '"aiot/v1/%s/telemetry/motor"',
    });
    expect(text).toContain('    "say \\"hi\\"\\?\\?/",\n    "anomaly",\n');
    expect(text).not.toContain('AIOT_FEATURE_SET');
  });

  it('are rejected if aiot.yaml contains an unknown sensor', async () => {
    const own = project(board.replace('version: 1.2.3', 'sensor: nose'));
    const { code, stdout, stderr } = await init(join(own, 'firmware'), own);
    expect(code).toBe(2);
    expect(`${stdout}${stderr}`).toMatch(/AIOT_PROJECT_INVALID.*firmware.sensor/s);
  });
});

/** Puts a program on the PATH that replaces a vendor's tool, records its arguments and runs the script. */
function standIn(name: string, script: string): string {
  const bin = mkdtempSync(join(folder, 'bin-'));
  const noted = join(bin, 'arguments');
  writeFileSync(
    join(bin, name),
    `#!/bin/sh\n[ "$1" = --version ] && exit 0\nprintf '%s\\n' "$@" >${noted}\n${script}\n`,
  );
  chmodSync(join(bin, name), 0o755);
  vi.stubEnv('PATH', `${bin}${delimiter}/usr/bin${delimiter}/bin`);
  return noted;
}

describe('aiot firmware build for an ESP32', () => {
  let own = '';
  let dir = '';
  const image = join(root, 'test', 'golden', 'images', 'c3-boot.bin');
  beforeEach(async () => {
    if (own !== '') return;
    own = project();
    dir = join(own, 'firmware');
    await init(dir, own);
  });
  const build = (...more: string[]) => runCli(['firmware', 'build', dir, ...more, '--json']);

  it('runs PlatformIO for the chip’s board, and lists the output files', async () => {
    const made = join(dir, 'hal', 'esp32', '.pio', 'build', 'esp32-c3-devkitm-1');
    const noted = standIn(
      'pio',
      `mkdir -p ${made}; cp ${image} ${made}/firmware.bin; cp ${image} ${made}/bootloader.bin; cp ${image.replace('.bin', '.elf')} ${made}/firmware.elf`,
    );
    const { json, code, stderr } = await build('--target', 'esp32c3', '--tool', 'pio');
    expect({ code, stderr }).toMatchObject({ code: 0 });
    expect(readFileSync(noted, 'utf8').trim().split('\n')).toEqual([
      ...['run', '-d', join(dir, 'hal', 'esp32'), '-e', 'esp32-c3-devkitm-1'],
    ]);
    const { files, main, ...rest } = json as FirmwareBuild;
    expect(rest).toMatchObject({
      target: 'esp32c3',
      tool: 'pio',
      version: '1.2.3',
      type: 'pump-board',
      regenerated: [],
    });
    expect(files.map(({ file }) => file.slice(made.length))).toEqual([
      '/firmware.bin',
      '/firmware.elf',
      '/bootloader.bin',
    ]);
    expect(main).toMatchObject({ kind: 'image', image: { chip: 'esp32c3' } });
    const text = await runCli([
      'firmware',
      'build',
      dir,
      '--target',
      'esp32c3',
      '--tool',
      'pio',
      '--no-color',
    ]);
    expect(text.stdout).toContain('bootloader.bin@bootloader');
    expect(text.stdout).toContain('firmware push');
    expect(text.stdout).toContain('--name pump --types pump-board');
  });

  it('runs idf.py with a folder for each chip, after regenerating files from aiot.yaml', async () => {
    const made = join(dir, 'build', 'esp32s3');
    const noted = standIn(
      'idf.py',
      `mkdir -p ${made}; cp ${image} ${made}/aiot.bin; grep VERSION ${dir}/generated/aiot_config.h`,
    );
    writeFileSync(join(own, 'aiot.yaml'), board.replace('1.2.3', '2.0.0'));
    const { json, code } = await build('--target', 'esp32s3');
    writeFileSync(join(own, 'aiot.yaml'), board);
    expect(code).toBe(0);
    expect(json).toMatchObject({
      tool: 'idf.py',
      version: '2.0.0',
      regenerated: ['generated/aiot_config.h'],
    });
    expect(readFileSync(noted, 'utf8').trim().split('\n')).toEqual([
      ...[
        '-C',
        join(dir, 'hal', 'esp32'),
        '-B',
        made,
        '-DIDF_TARGET=esp32s3',
        `-DSDKCONFIG=${made}/sdkconfig`,
        'build',
      ],
    ]);
    // The tool already saw the regenerated file.
    expect(readFileSync(join(dir, 'build', 'esp32s3.log'), 'utf8')).toContain('"2.0.0"');
  });

  it('passes profiles to idf.py so that nvs-hmac takes precedence over secure, those of firmware init by default', async () => {
    const secure = join(dir, 'build', 'esp32s3-large-secure-nvs-hmac');
    const noted = standIn(
      'idf.py',
      `for d in ${secure} ${dir}/build/esp32c3-low-power; do mkdir -p $d; cp ${image} $d/aiot.bin; done`,
    );
    const { json, code } = await build('--target', 'esp32s3', '--profile', 'nvs-hmac,secure,large');
    expect({ code, json }).toMatchObject({
      code: 0,
      json: { notes: expect.arrayContaining([expect.stringContaining('--profile production')]) },
    });
    const files = [
      'sdkconfig.defaults',
      ...['large', 'secure', 'nvs-hmac'].map((name) => `profiles/${name}.defaults`),
    ].join(';');
    expect(readFileSync(noted, 'utf8')).toContain(`-DSDKCONFIG_DEFAULTS=${files}\n`);
    for (const name of files.split(';')) expect(existsSync(join(dir, 'hal', 'esp32', name))).toBe(true);
    const note = join(dir, 'aiot-firmware.json');
    const before = readFileSync(note, 'utf8');
    writeFileSync(note, JSON.stringify({ ...JSON.parse(before), profiles: ['low-power'] }));
    const chosen = await build('--target', 'esp32c3');
    writeFileSync(note, before);
    expect(chosen.code).toBe(0);
    expect(readFileSync(noted, 'utf8')).toContain(
      '-DSDKCONFIG_DEFAULTS=sdkconfig.defaults;profiles/low-power.defaults\n',
    );
  });

  it('name the protection of NVS keys, whose default differs between versions of ESP-IDF', () => {
    const scheme = (profile: string) =>
      readFileSync(join(root, `firmware/hal/esp32/profiles/${profile}.defaults`), 'utf8')
        .split('\n')
        .filter((line) => line.startsWith('CONFIG_NVS_SEC_'));
    expect(scheme('secure')).toEqual(['CONFIG_NVS_SEC_KEY_PROTECT_USING_FLASH_ENC=y']);
    expect(scheme('nvs-hmac')).toEqual([
      'CONFIG_NVS_SEC_KEY_PROTECT_USING_HMAC=y',
      `CONFIG_NVS_SEC_HMAC_EFUSE_KEY_ID=${nvsKeyBlock}`,
    ]);
  });

  it('stores the profiles of firmware init', async () => {
    const at = join(own, 'another');
    const made = await runCli(['firmware', 'init', at, '--project', own, '--profile', 'low-power', '--json']);
    expect(made.code).toBe(0);
    expect(JSON.parse(readFileSync(join(at, 'aiot-firmware.json'), 'utf8'))).toMatchObject({
      profiles: ['low-power'],
    });
  });

  it.each([
    ['for this machine', ['--profile', 'secure'], 'is for boards'],
    ['large for another chip', ['--target', 'esp32c3', '--profile', 'large'], 'is for --target esp32s3'],
    ['nvs-hmac for an ESP32', ['--target', 'esp32', '--profile', 'nvs-hmac'], 'has no HMAC unit'],
    ['nvs-hmac for an ESP32-P4', ['--target', 'esp32p4', '--profile', 'nvs-hmac'], 'aiot cannot burn'],
    ['with PlatformIO', ['--target', 'esp32', '--profile', 'secure', '--tool', 'pio'], 'need ESP-IDF'],
  ])('rejects a profile %s', async (_what, args, why) => {
    const { code, stdout } = await build(...args);
    expect({ code, stdout }).toMatchObject({ code: 2, stdout: expect.stringContaining(why) });
  });

  it('has a partition table of 8 MB with the partitions of the usual one, and more room', () => {
    const read = (name: string, flashBytes: number) =>
      parsePartitionsCsv(readFileSync(join(root, 'firmware', 'hal', 'esp32', name), 'utf8'), { flashBytes });
    const [usual, large] = [read('partitions.csv', 4 << 20), read('partitions-8mb.csv', 8 << 20)];
    for (const { label, size, type, subtype } of usual.partitions) {
      const same = large.partitions.find((one) => one.label === label);
      expect(same, label).toMatchObject({ type, subtype });
      expect(same!.size, label).toBeGreaterThanOrEqual(size);
    }
    expect(large.partitions.find(({ label }) => label === 'nvs')?.size).toBe(0x40000);
  });

  it('reports why a build failed and where the full log is', async () => {
    standIn('pio', 'echo "main.c:3:1: error: unknown type name"; echo later; exit 1');
    const { code, stdout, stderr } = await build('--target', 'esp32');
    expect(code).toBe(1);
    expect(`${stdout}${stderr}`).toMatch(
      /AIOT_FIRMWARE_BUILD.*main.c:3:1: error: unknown type name.*esp32\.log/s,
    );
    expect(readFileSync(join(dir, 'build', 'esp32.log'), 'utf8')).toContain('later');
  });

  it('shows the first errors of ESP-IDF with their files and lines, shortened', async () => {
    const source = join(dir, 'hal', 'esp32', 'main', 'wifi.c');
    standIn(
      'idf.py',
      `cat <<'END'
[1/3] Building C object esp-idf/main/CMakeFiles/__idf_main.dir/wifi.c.obj
FAILED: esp-idf/main/CMakeFiles/__idf_main.dir/wifi.c.obj
${source}: In function 'wifi_start':
${source}:12:3: error: unknown type name 'wifi_mode'; did you mean 'wifi_mode_t'?
../../core/src/code.c:7:10: fatal error: no_such.h: No such file or directory
../../core/src/code.c:7:10: fatal error: no_such.h: No such file or directory
/idf/bin/ld: esp-idf/main/libmain.a(wifi.c.obj): in function \`wifi_start':
/somewhere/wifi.c:44: undefined reference to \`missing'
/idf/bin/ld: region \`iram0_0_seg' overflowed by 1234 bytes
ninja: build stopped: subcommand failed.
ninja failed with exit code 1, output of the command is in the /tmp/idf_py_stderr_output_1
END
exit 1`,
    );
    const { code, json } = await build('--target', 'esp32s3', '--tool', 'idf.py');
    expect(code).toBe(1);
    expect((json as { error: { message: string } }).error.message).toBe(
      "building the firmware for esp32s3 failed: hal/esp32/main/wifi.c:12:3: error: unknown type name 'wifi_mode'; did you mean 'wifi_mode_t'?; core/src/code.c:7:10: fatal error: no_such.h: No such file or directory; wifi.c:44: undefined reference to `missing'; and 1 more error",
    );
  });

  it.each([
    [
      'CMake',
      "CMake Error at /idf/tools/cmake/build.cmake:682 (message):\n  Failed to resolve component 'mqtt'.\nCall Stack (most recent call first):\n  CMakeLists.txt:49 (project)",
      "CMake Error at $IDF_PATH/tools/cmake/build.cmake:682: Failed to resolve component 'mqtt'.",
    ],
    [
      'the check of sizes',
      "Error: app partition is too small for binary aiot.bin size 0x1c1234:\n  - Part 'ota_0' 0/16 @ 0x20000 size 0x180000 (overflow 0x41234)\nninja: build stopped: subcommand failed.",
      "app partition is too small for binary aiot.bin size 0x1c1234: - Part 'ota_0' 0/16 @ 0x20000 size 0x180000 (overflow 0x41234)",
    ],
    ['a program without a known form', 'working\nit is Monday\nninja: build stopped.', 'it is Monday'],
    [
      'a compiler with colors',
      '\u001b[01m\u001b[Kmain.c:3:1:\u001b[m\u001b[K \u001b[01;31m\u001b[Kerror: \u001b[m\u001b[Kno',
      'main.c:3:1: error: no',
    ],
  ])('quotes the reason given by %s', (_what, output, expected) => {
    vi.stubEnv('IDF_PATH', '/idf');
    expect(buildErrors(output, { root: dir, bases: [dir] })).toEqual([expected]);
  });

  it.each([
    [
      'the compiler',
      'CMake Error at CMakeLists.txt:49 (project):\n  The CMAKE_C_COMPILER:\n\n    xtensa-esp32s3-elf-gcc\n\n  is not a full path and was not found in the PATH.',
      /without the compiler for esp32s3 \(xtensa-esp32s3-elf-gcc\).*install\.sh esp32s3/s,
    ],
    [
      'the Python packages',
      'This usually means that "idf.py" was not spawned within an ESP-IDF shell environment or the python virtual environment used by "idf.py" is corrupted.',
      /does not find ESP-IDF's Python packages.*install\.sh esp32s3.*export\.sh/s,
    ],
    [
      'its tools',
      "ERROR: /home/me/.espressif/espidf.constraints.v5.5.txt doesn't exist. Perhaps you've forgotten to run the install scripts.",
      /install\.sh esp32s3/,
    ],
    ['CMake', '"cmake" must be available on the PATH to use idf.py', /needs cmake.*apt-get install cmake/s],
  ])('reports that an installed ESP-IDF lacks %s', async (_what, output, expected) => {
    standIn('idf.py', `cat <<'END'\n${output}\nEND\nexit 2`);
    const { code, stdout } = await build('--target', 'esp32s3');
    expect({ code, stdout }).toMatchObject({ code: 4, stdout: expect.stringMatching(expected) });
    expect(stdout).toContain('AIOT_PROGRAM_NOT_FOUND');
  });

  it('prints the command that builds in a container, regenerates files, and runs nothing', async () => {
    const noted = standIn('docker', 'exit 1');
    writeFileSync(join(own, 'aiot.yaml'), board.replace('1.2.3', '3.0.0'));
    const { json, code } = await build('--target', 'esp32c6', '--profile', 'low-power', '--docker');
    writeFileSync(join(own, 'aiot.yaml'), board);
    const made = join(dir, 'build', 'esp32c6-low-power');
    expect({ code, json }).toMatchObject({
      code: 0,
      json: { target: 'esp32c6', tool: 'docker', build: made, regenerated: ['generated/aiot_config.h'] },
    });
    const { command, image } = json as FirmwareContainer;
    expect(command.slice(0, 3)).toEqual(['docker', 'run', '--rm']);
    expect(command.slice(command.indexOf('--volume'))).toEqual([
      ...['--volume', `${dir}:${dir}`, '--workdir', dir, image, 'idf.py'],
      ...['-C', join(dir, 'hal', 'esp32'), '-B', made, '-DIDF_TARGET=esp32c6'],
      `-DSDKCONFIG=${made}/sdkconfig`,
      '-DSDKCONFIG_DEFAULTS=sdkconfig.defaults;profiles/low-power.defaults',
      'build',
    ]);
    expect(existsSync(noted)).toBe(false);
    const text = await runCli([
      'firmware',
      'build',
      dir,
      '--target',
      'esp32c6',
      '--profile',
      'low-power',
      '--docker',
      '--no-color',
    ]);
    const [line = ''] = text.stdout.split('\n');
    expect(line.split(' ').map((word) => word.replace(/^"(.*)"$/, '$1'))).toEqual(command);
    // A shell would end the command at this semicolon.
    expect(line).toContain(' "-DSDKCONFIG_DEFAULTS=sdkconfig.defaults;profiles/low-power.defaults" ');
    expect(text.stdout).toContain('aiot flash');
    // The CI templates build with the same image.
    for (const name of ['github.yml', 'gitlab-ci.yml'])
      expect(readFileSync(join(root, 'templates', 'ci', 'firmware', name), 'utf8')).toContain(`: ${image}\n`);
  });

  it.each([
    ['a host build', ['--docker'], '--docker is for boards'],
    ['PlatformIO', ['--target', 'esp32', '--tool', 'pio', '--docker'], 'not with PlatformIO'],
  ])('prints no command for %s', async (_what, args, why) => {
    expect(await build(...args)).toMatchObject({ code: 2, stdout: expect.stringContaining(why) });
  });

  it('fails if a tool succeeds without producing an image', async () => {
    standIn('idf.py', 'exit 0');
    const { code, stdout, stderr } = await build('--target', 'esp32c3');
    expect(code).toBe(1);
    expect(`${stdout}${stderr}`).toMatch(/AIOT_FIRMWARE_BUILD.*did not produce .*aiot\.bin/s);
  });

  it.each([
    ['esp32', [], /pipx install platformio.*export\.sh/s],
    ['esp32', ['--tool', 'pio'], /pipx install platformio/],
    ['host', [], /apt-get install cmake gcc make/],
    ['rv32', [], /apt-get install cmake/],
  ])('names missing tools for %s %j with the command that installs them', async (target, more, line) => {
    vi.stubEnv('PATH', join(folder, 'nothing-here'));
    const { code, stdout, stderr } = await build('--target', target, ...more);
    expect(code).toBe(4);
    expect(`${stdout}${stderr}`).toContain('AIOT_PROGRAM_NOT_FOUND');
    expect(`${stdout}${stderr}`).toMatch(line);
  });

  it.each([
    ['host', 'OpenSSL 3 and libmosquitto', 'libssl-dev libmosquitto-dev'],
    ['c3', 'picolibc', 'gcc-riscv64-unknown-elf'],
  ])('names the libraries that %s needs if CMake does not know the target', async (target, what, line) => {
    standIn(
      'cmake',
      `[ "$1" = --build ] && { echo "gmake: *** No rule to make target 'x'.  Stop."; exit 2; }; exit 0`,
    );
    const { code, stdout, stderr } = await build('--target', target);
    expect(code).toBe(4);
    for (const part of ['AIOT_PROGRAM_NOT_FOUND', what, line]) expect(`${stdout}${stderr}`).toContain(part);
  });

  it('rejects a folder that firmware init did not create', async () => {
    for (const verb of ['build', 'test']) {
      const { code, stdout, stderr } = await runCli(['firmware', verb, own, '--json']);
      expect(code).toBe(4);
      expect(`${stdout}${stderr}`).toContain('AIOT_FIRMWARE_MISSING');
    }
    expect(existsSync(join(own, 'build'))).toBe(false);
  });
});

describe('aiot firmware test', () => {
  it('runs CTest in the build folder, shows each test, and exits with 6 if one failed', async () => {
    const own = project();
    const dir = join(own, 'firmware');
    await init(dir, own);
    const bin = mkdtempSync(join(folder, 'bin-'));
    const script = (name: string, text: string) => {
      writeFileSync(join(bin, name), `#!/bin/sh\n${text}\n`);
      chmodSync(join(bin, name), 0o755);
    };
    script('cmake', `[ "$1" = -S ] && { mkdir -p "$4"; echo "$@" >${bin}/configured; }; exit 0`);
    script(
      'ctest',
      `pwd >${bin}/where; echo ' 1/2 Test  #1: core ....   Passed    0.01 sec'; echo ' 2/2 Test  #2: esp32_ESP32 ....***Failed    0.02 sec'; echo 'main.c: no'; exit 8`,
    );
    vi.stubEnv('PATH', `${bin}${delimiter}/usr/bin${delimiter}/bin`);
    const { code, json } = await runCli(['firmware', 'test', dir, '--json']);
    expect(code).toBe(6);
    expect(json).toMatchObject({
      ...{ dir, passed: 1, failed: 1, skipped: 0, rv32: false },
      tests: [
        { name: 'core', on: 'host', state: 'passed', seconds: 0.01, output: null },
        { name: 'esp32_ESP32', on: 'esp32', state: 'failed', output: 'main.c: no' },
      ],
    });
    expect(readFileSync(join(bin, 'where'), 'utf8').trim()).toBe(join(dir, 'build', 'test'));
    expect(readFileSync(join(bin, 'configured'), 'utf8')).toContain('-DAIOT_SANITIZE=ON');
    const text = await runCli(['firmware', 'test', dir, '--no-color']);
    expect(text.stdout).toContain('1 test passed, 1 failed');
    expect(text.stdout).toContain('main.c: no');
  });
});
