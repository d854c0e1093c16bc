import { constants } from 'node:fs';
import { access, readFile, stat } from 'node:fs/promises';
import * as z from 'zod';
import { AiotError, hasCode, systemCode } from '../../core/errors.js';
import { requireWritable } from '../../core/files.js';
import { findProgram } from '../../core/process.js';
import { userName } from '../../core/systemd.js';
import { probeI2c } from '../../sensor/i2c/probe.js';
import { parseSensorUrl } from '../../sensor/url.js';
import { checkEndpoint } from '../../stream/broker/check.js';
import type { StreamOptions } from '../../stream/message.js';
import { openSink } from '../../stream/open.js';
import { parseStreamUrl } from '../../stream/url.js';
import { outputSettings } from '../output/settings.js';
import { parseAddress } from '../sense/address.js';
import { type MeasuredSensor, measureSensor } from '../sense/open.js';
import type { SensingOptions } from '../sense/types.js';

/**
 * Minimum relative deviation from the contract's rate for a measured rate to be reported. Chips' own clocks are off by a few
 * percent.
 */
const usualScatter = 0.1;

/** Checks access to a local sensor: the permission and, for chips, the bus, the addresses and the self-tests. */
export async function checkReach(sensor: string): Promise<CheckLine[]> {
  const node = nodeOf(sensor);
  const permission = node === undefined ? undefined : await checkDevice(node);
  const lines = permission ? [permission] : [];
  if (!/^i2c:/i.test(sensor) || permission?.state === 'failed') return lines;
  try {
    const probe = await probeI2c(parseSensorUrl(parseAddress(sensor).url));
    for (const { step, state, what, next } of probe.steps) {
      if (step === 'url' && state === 'ok') continue;
      const check = names[step];
      if (state === 'failed')
        lines.push(failed(check, what, next ?? 'Check the wiring, then run `aiot loop check` again.'));
      else
        lines.push(
          state === 'ok'
            ? ok(check, what)
            : warning(check, what, next ?? 'It works; check it when convenient.'),
        );
    }
  } catch (error) {
    lines.push(failedBy('sensor', error));
  }
  return lines;
}

const names = { url: 'sensor', bus: 'bus', chip: 'address', 'self-test': 'self-test', rate: 'rate' } as const;

/** Reads the sensor for a while, as the loop would. A failed measurement also becomes a line. */
export async function checkRate(options: SensingOptions, seconds: number): Promise<CheckLine[]> {
  try {
    return linesOf(await measureSensor(options, seconds), options.contract.rateHz);
  } catch (error) {
    return [failedBy('rate', error)];
  }
}

/** @param contractHz null if a sample is a window of its own */
export function linesOf(measured: MeasuredSensor, contractHz: number | null): CheckLine[] {
  const { endpoint, samples, lost, rateHz, jitterP99Ms, newest, fields, seconds } = measured;
  if (samples === 0 || newest === null) {
    const none = `${endpoint} sent no samples in ${seconds.toFixed(1)} s`;
    return [
      failed(
        'rate',
        none,
        'Check that the sensor is on and sends data. To watch it live, run `aiot loop run`.',
      ),
    ];
  }
  const values = fields.map(({ name, unit }, i) => `${name} ${newest[i]?.toPrecision(3)} ${unit}`.trim());
  const lines = [ok('sensor', `${endpoint}: ${values.join(', ')}`)];
  const figures = `${rateHz?.toFixed(2) ?? '?'} samples per second, jitter p99 ${jitterP99Ms?.toFixed(2) ?? '?'} ms`;
  if (lost > 0) {
    lines.push(
      warning(
        'rate',
        `${figures}, ${lost} lost`,
        'Choose a lower rate or a faster bus, or stop other programs on this machine.',
      ),
    );
  } else if (contractHz !== null && rateHz !== null && Math.abs(rateHz / contractHz - 1) > usualScatter) {
    const what = `${figures}; the model expects ${contractHz}`;
    lines.push(
      rateHz < contractHz
        ? warning(
            'rate',
            what,
            `The data is resampled, but frequencies above ${(rateHz / 2).toFixed(0)} Hz are missing: set the sensor to ${contractHz} or more.`,
          )
        : warning(
            'rate',
            what,
            `The data is resampled. To avoid this, set rate=${contractHz} in the address if the sensor supports it.`,
          ),
    );
  } else lines.push(ok('rate', figures));
  return lines;
}

/** Maximum wait for a destination, ms. */
const connectTimeoutMs = 5000;

/** Checks that the destinations of predictions exist, without writing to them. */
export async function checkOutputs(urls: readonly string[], stream: StreamOptions): Promise<CheckLine[]> {
  if (urls.length === 0) {
    return [
      warning(
        'output',
        'predictions are displayed, but not sent anywhere',
        'Specify an output: --out URL, or loop.out in aiot.yaml',
      ),
    ];
  }
  const lines = await Promise.all(urls.map((url) => checkOutput(url, stream)));
  return lines.flat();
}

async function checkOutput(text: string, stream: StreamOptions): Promise<CheckLine[]> {
  try {
    const { url, shown } = outputSettings(text, 'change');
    const parts = parseStreamUrl(url);
    switch (parts.scheme) {
      case 'gpio':
        return await checkGpio(url, shown);
      case 'file':
        await requireWritable(parts.path.replace(/[{].*$/s, '') || '.');
        return [ok('output', `${shown} is writable`)];
      case 'exec': {
        const sink = await openSink(url, stream);
        await sink.close();
        return [ok('output', `${sink.endpoint} is executable`)];
      }
      case 'telegram': {
        // Detects a malformed token; nothing is sent.
        await (await openSink(url, stream)).close();
        const host = parts.query.base ?? `https://${parts.host || 'api.telegram.org'}`;
        return [await reached(host, shown, stream)];
      }
      default:
        return [await reached(url, shown, stream)];
    }
  } catch (error) {
    return [failedBy('output', error)];
  }
}

async function reached(url: string, shown: string, stream: StreamOptions): Promise<CheckLine> {
  const started = performance.now();
  try {
    const { ok: well, results } = await checkEndpoint(url, { ...stream, connectTimeoutMs });
    const bad = results.find(({ state }) => state === 'failed');
    if (well) return ok('output', `${shown} responds, ${Math.round(performance.now() - started)} ms`);
    const detail = `${shown}: ${bad?.what ?? 'the check'} failed: ${bad?.detail ?? 'no response'}`;
    return failed(
      'output',
      detail,
      `For details, run \`aiot stream check ${parseStreamUrl(url).endpoint}\`. The loop runs anyway and stores predictions on disk.`,
    );
  } catch (error) {
    if (hasCode(error, 'AIOT_STREAM_SCHEME'))
      return ok('output', `${shown} (can be checked only by writing to it)`);
    if (error instanceof AiotError) return failed('output', `${shown}: ${error.message}`, error.next);
    throw error;
  }
}

/** Checks access to a GPIO chip without opening the line, which would drive it. */
async function checkGpio(url: string, shown: string): Promise<CheckLine[]> {
  const node = nodeOf(url) ?? '';
  const permission = await checkDevice(node);
  if (!permission)
    return [
      failed(
        'output',
        `${shown}: ${node} does not exist`,
        'To list the chips of this machine, run `gpiodetect`.',
      ),
    ];
  if (permission.state === 'failed') return [permission];
  try {
    await findProgram('gpioset');
    return [ok('output', `${shown}: ${node} and gpioset are available`)];
  } catch {
    return [failed('output', `${shown}: libgpiod's gpioset is not installed`, 'sudo apt install gpiod')];
  }
}

/** Checks whether this user may read and write a device; undefined if the device does not exist, which other checks report more clearly. */
export async function checkDevice(node: string, groups = '/etc/group'): Promise<CheckLine | undefined> {
  try {
    await access(node, constants.R_OK | constants.W_OK);
    return ok('permission', `${node} is readable and writable`);
  } catch (error) {
    if (systemCode(error) !== 'EACCES' && systemCode(error) !== 'EPERM') return undefined;
  }
  const { gid } = await stat(node);
  const group = await groupNamed(gid, groups);
  const username = userName();
  return failed(
    'permission',
    `${username} does not have permission to use ${node}, which belongs to the group ${group ?? gid}`,
    group === undefined || group === 'root'
      ? 'Add a udev rule that assigns it to a group: SUBSYSTEM=="…", GROUP="…", MODE="0660"; or run as root as a test.'
      : `Run \`sudo usermod -aG ${group} ${username}\`, then log in again.`,
  );
}

async function groupNamed(gid: number, file: string): Promise<string | undefined> {
  const lines = (await readFile(file, 'utf8').catch(() => '')).split('\n').map((line) => line.split(':'));
  return lines.find(([, , id]) => id === String(gid))?.[0];
}

/** The device in the address of a sensor or an output; undefined if there is none. */
export function nodeOf(url: string): string | undefined {
  const [, scheme = '', rest = ''] = /^([a-z][\w+.-]*):(?:\/\/)?(.*)$/is.exec(url) ?? [];
  const place = rest.replace(/[?#].*$/s, '');
  switch (scheme.toLowerCase()) {
    case 'i2c': {
      const bus = decodeURIComponent(place.split('/', 1)[0]!);
      return bus === 'sim' || bus === '' ? undefined : bus.startsWith('/') ? bus : `/dev/i2c-${bus}`;
    }
    case 'gpio':
      return `/dev/${place.split('/', 1)[0]}`;
    case 'serial':
      return place.startsWith('/') ? place : `/${place}`;
    case 'camera':
      return place.startsWith('/dev/') ? place : undefined;
    default:
      return undefined;
  }
}

export const checkLineSchema = z.object({
  /** The subject of the check. */
  check: z.enum([
    'loop',
    'bus',
    'permission',
    'address',
    'self-test',
    'sensor',
    'rate',
    'model',
    'output',
    'disk',
    'clock',
  ]),
  /** `warning`: the loop runs, but the check found a problem. */
  state: z.enum(['ok', 'warning', 'failed']),
  detail: z.string(),
  /** How to fix it; null if there is nothing to do. */
  next: z.string().nullable(),
});

export type CheckLine = z.output<typeof checkLineSchema>;

type What = CheckLine['check'];

export const ok = (check: What, detail: string): CheckLine => ({ check, state: 'ok', detail, next: null });

export const warning = (check: What, detail: string, next: string): CheckLine => ({
  check,
  state: 'warning',
  detail,
  next,
});

export const failed = (check: What, detail: string, next: string): CheckLine => ({
  check,
  state: 'failed',
  detail,
  next,
});

/** Converts an error with a code to a line. Interruptions, bugs and errors without a code are rethrown. */
export function failedBy(check: What, error: unknown): CheckLine {
  if (!(error instanceof AiotError) || error.exit === 130 || error.family === 'bug') throw error;
  return failed(check, `${error.code}: ${error.message}`, error.next);
}
