import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '../../core/files.js';
import type { ProjectConfig } from '../../core/project-schema.js';
import { defaultTable } from '../../provision/device-image.js';
import { featureNames, type SignalSpec, signalSpecOf } from '../../signal/spec.js';
import { misfitOf, sensorOf } from './sensors.js';

/** Files generated from aiot.yaml, by path in the firmware's folder: a pure function of the project. */
export function generatedFiles(config: ProjectConfig): Map<string, string> {
  return new Map([
    ['generated/aiot_config.h', configHeader(config)],
    ['generated/aiot_tables.h', tablesHeader(config)],
    ['hal/esp32/partitions.csv', defaultTable],
  ]);
}

/** Writes the files that are missing or outdated; returns their paths. @throws AIOT_FILE_NOT_WRITABLE */
export async function regenerate(dir: string, config: ProjectConfig): Promise<string[]> {
  const written: string[] = [];
  for (const [path, text] of generatedFiles(config)) {
    const file = join(dir, path);
    const now = await readFile(file, 'utf8').catch(() => null);
    if (now === text) continue;
    await writeFileAtomic(file, text);
    written.push(path);
  }
  return written;
}

/** Definitions for a board with an IMU, or with sensors on the ADC. */
const imus = ['mpu6050', 'lsm6ds3trc'];

const atConverter = ['guide', 'acs712'];

/** generated/aiot_config.h: the settings of firmware/hal/esp32/main/settings.h that follow from aiot.yaml. */
export function configHeader(config: ProjectConfig): string {
  const { firmware, stream, signal } = config;
  const sensor = sensorOf(config);
  const rates = sensor !== null && misfitOf(config, sensor) === null;
  const lines: [string, string][] = [
    ['AIOT_FIRMWARE_NAME', cString(config.name)],
    ['AIOT_FIRMWARE_VERSION', cString(firmware?.version ?? '0.1.0')],
    ['AIOT_STREAM', cString(stream.topic)],
  ];
  if (sensor !== null) lines.push(['AIOT_SOURCE', `${sensor.source} /* ${sensor.name} */`]);
  if (rates && imus.includes(sensor.name) && sensor.gives(signal.rate)) {
    lines.push(['AIOT_IMU_RATE_HZ', real(signal.rate)]);
    const turns = Object.keys(stream.fields).some((field) => field.startsWith('g'));
    if (turns) lines.push(['AIOT_IMU_RANGE_DPS', '500']);
  }
  if (rates && atConverter.includes(sensor.name) && sensor.gives(signal.rate))
    lines.push(['AIOT_ADC_WINDOW_MS', `${Math.round(1000 / signal.rate)}u`]);
  if (firmware?.clamp !== undefined) {
    lines.push(['AIOT_CT_TURNS', real(firmware.clamp.turns)]);
    lines.push(['AIOT_CT_BURDEN_OHMS', real(firmware.clamp.burden)]);
  }
  if (firmware?.servo !== undefined) lines.push(['AIOT_ACTUATOR', firmware.servo ? '1' : '0']);
  return `/* Made by aiot from aiot.yaml: what is changed here is lost. What aiot_own.h in the folder above defines stands. */
#ifndef AIOT_GENERATED_CONFIG_H
#define AIOT_GENERATED_CONFIG_H

#if defined(__has_include)
#if __has_include("../aiot_own.h")
#include "../aiot_own.h"
#endif
#endif

${lines.map(([name, value]) => `#ifndef ${name}\n#define ${name} ${value}\n#endif\n`).join('')}
#endif
`;
}

/** A number as a C double. */
function real(value: number): string {
  return Number.isInteger(value) ? `${value}.0` : String(value);
}

/** Raw windows have one input per sample; such a list would not be readable. */
const mostNames = 1024;

/** generated/aiot_tables.h: the project's names and numbers, for custom code and firmware/test/generated_test.c. */
export function tablesHeader(config: ProjectConfig): string {
  const { stream, model, firmware } = config;
  const fields = Object.entries(stream.fields);
  const spec = fields.length === 0 ? null : signalSpecOf(config);
  const labels = Object.keys(model.labels);
  const parts = [
    define('AIOT_PROJECT_NAME', cString(config.name)),
    define('AIOT_MODEL_NAME', cString(model.name ?? config.name)),
    ...(firmware?.type === undefined ? [] : [define('AIOT_DEVICE_TYPE', cString(firmware.type))]),
    '',
    '/* Topics, with the device’s name in the place of %s; where the trust root is: NVS on a chip, a file on a computer. */',
    define('AIOT_TOPIC_TELEMETRY', cString(`aiot/v1/%s/telemetry/${stream.topic}`)),
    define('AIOT_TOPIC_INFERENCE', cString('aiot/v1/%s/inference')),
    define('AIOT_TRUST_NVS', cString('aiot_trust')),
    define('AIOT_TRUST_FILE', cString('trust.json')),
    '',
    '/* The fields of a sample, in the order of aiot.yaml. */',
    define('AIOT_FIELDS', fields.length),
    names(
      'aiot_field_names',
      'AIOT_FIELDS',
      fields.map(([name]) => name),
    ),
    names(
      'aiot_field_units',
      'AIOT_FIELDS',
      fields.map(([, { unit }]) => unit),
    ),
    ...(spec === null ? [] : signalLines(spec)),
    '',
    '/* The labels of the model, in the order of its scores. */',
    define('AIOT_LABELS', labels.length),
    names('aiot_label_names', 'AIOT_LABELS', labels),
  ];
  return `/* Made by aiot from aiot.yaml: what is changed here is lost. */
#ifndef AIOT_GENERATED_TABLES_H
#define AIOT_GENERATED_TABLES_H

${parts.filter((part) => part !== null).join('\n')}

#endif
`;
}

function signalLines(spec: SignalSpec): (string | null)[] {
  const { features, windowSamples, fields } = spec;
  const raw = features === 'raw';
  const own = raw ? [] : featureNames(spec);
  const listed = own.length <= mostNames ? own : [];
  return [
    '',
    '/* Samples a second as they come, the low-pass’s corner (0 = none), after resampling; samples of a window and between two. */',
    define('AIOT_RATE_HZ', real(spec.rateHz)),
    define('AIOT_LOWPASS_HZ', real(spec.lowpassHz ?? 0)),
    define('AIOT_RESAMPLE_HZ', real(spec.resampleHz)),
    define('AIOT_WINDOW_SAMPLES', windowSamples),
    define('AIOT_STRIDE_SAMPLES', spec.strideSamples),
    '',
    '/* The features of a window: a set by its name, or names out of the sets. */',
    ...(Array.isArray(features) ? [] : [define('AIOT_FEATURE_SET', cString(features))]),
    define('AIOT_FEATURES', raw ? windowSamples * fields.length : own.length),
    ...(listed.length === 0
      ? []
      : [define('AIOT_FEATURE_NAMES', 1), names('aiot_feature_names', 'AIOT_FEATURES', listed)]),
  ];
}

function define(name: string, value: string | number): string {
  return `#define ${name} ${value}`;
}

/** An array of strings in C; null for an empty list, because C has no arrays of length 0. */
function names(name: string, length: string, values: readonly string[]): string | null {
  if (values.length === 0) return null;
  return `static const char *const ${name}[${length}] = {\n${values.map((value) => `    ${cString(value)},\n`).join('')}};`;
}

/** A C string literal: UTF-8, with terminators escaped, and no trigraphs. */
function cString(text: string): string {
  const escaped = [...text]
    .map((sign) => {
      if (sign === '"' || sign === '\\') return `\\${sign}`;
      if (sign === '?') return '\\?';
      return /\p{Cc}/u.test(sign) ? ' ' : sign;
    })
    .join('');
  return `"${escaped}"`;
}
