import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { parseDuration } from '../../core/time.js';

/** Simulated network quality and faults in a fleet. Shares are 0 to 1. */
export interface Network {
  seed: number;
  /** Share of messages lost, independently of each other. */
  loss: number;
  /** One-way latency, ms. */
  latencyMs: readonly [least: number, most: number];
  /** Share of devices offline at any time. */
  offline: number;
  /** Share of devices whose trial fails. */
  failRate: number;
}

/** Delay before a lost message is resent, ms. It doubles with each attempt. */
const resendMs = 1000;

/**
 * Fault on a device. `golden`: the golden vectors do not match. `download`: no bytes arrive. `silent`: the device stops
 * during its trial. `power`: power is cut in the first trial. `offline`: the device never connects. `battery`: the device reports an empty
 * battery. `crash`: the device crashes once after each commit.
 */
const faultKinds = ['golden', 'download', 'silent', 'power', 'offline', 'battery', 'crash'] as const;

export type FaultKind = (typeof faultKinds)[number];

export const faultsSchema = z.strictObject({ devices: z.record(z.string(), z.enum(faultKinds)) });

export type Faults = z.output<typeof faultsSchema>['devices'];

/** Time until a message is delivered, ms, including resends. @param count sequence number of the device's message */
export function delayOf(
  { seed, loss, latencyMs: [least, most] }: Network,
  device: number,
  count: number,
): number {
  let ms = least === most ? least : least + (most - least) * chanceOf(seed, device, asks.latency, count);
  for (let again = 0; loss > 0 && again < 6; again++) {
    if (chanceOf(seed, device, asks.loss, count, again) >= loss) break;
    ms += resendMs * 2 ** again;
  }
  return ms;
}

/**
 * Delivers messages of one connection after their delays, in the order in which they were sent, so a delayed message holds back later
 * messages. Timers in a busy process can be late, so each timer delivers the first waiting message, even if the timer was set for another
 * one.
 * @param delay delivery time of the next message, ms
 */
export function arrivals(delay: () => number): (deliver: () => void) => void {
  const waiting: (() => void)[] = [];
  let due = 0;
  const first = () => waiting.shift()?.();
  return (deliver) => {
    const now = performance.now();
    due = Math.max(due, now + delay());
    waiting.push(deliver);
    if (due - now < 1 && waiting.length === 1) first();
    else setTimeout(first, due - now);
  };
}

/** Whether a device is offline in this minute of the fleet's time. */
export function isAway({ seed, offline }: Network, device: number, minute: number): boolean {
  return offline > 0 && chanceOf(seed, device, asks.offline, minute) < offline;
}

export function isRigged({ seed, failRate }: Network, device: number): boolean {
  return failRate > 0 && chanceOf(seed, device, asks.fail) < failRate;
}

/** Parses a share such as `5%` or `0.05`. @throws AIOT_USAGE */
export function parseShare(flag: string, text: string): number {
  const [, digits = '', percent] = /^(\d+(?:\.\d+)?|\.\d+)(%?)$/.exec(text.trim()) ?? [];
  const share = Number(digits || Number.NaN) / (percent ? 100 : 1);
  if (share >= 0 && share <= 1) return share;
  throw new AiotError('AIOT_USAGE', `--${flag}: expected a fraction such as 5% or 0.05, got "${text}"`);
}

/** Parses a latency such as `20..200ms`, `1..2s` or `50ms`. @throws AIOT_USAGE */
export function parseLatency(text: string): readonly [number, number] {
  const [from = '', to = from] = text.split('..');
  const unit = /[a-z]+\s*$/.exec(to)?.[0] ?? '';
  const least = parseDuration(/[a-z]\s*$/.test(from) ? from : `${from}${unit}`, '--latency: ');
  const most = parseDuration(to, '--latency: ');
  if (least <= most) return [least, most];
  throw new AiotError('AIOT_USAGE', `--latency: expected the lower bound first, got "${text}"`);
}

/** Parses a clock factor such as `x60`, which makes a minute of the fleet's time take a second. @throws AIOT_USAGE */
export function parseClock(text: string): number {
  const factor = Number(/^x?(\d+(?:\.\d+)?)$/.exec(text.trim())?.[1] ?? Number.NaN);
  if (factor >= 0.001 && factor <= 100_000) return factor;
  throw new AiotError('AIOT_USAGE', `--clock: expected a factor such as x60, got "${text}"`);
}

/**
 * A pseudo-random number in [0, 1), determined by seed and place, and independent of the order of calls. A run with ten
 * thousand devices is therefore reproducible even if network timing varies.
 */
export function chanceOf(seed: number, ...place: number[]): number {
  let hash = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b);
  for (const part of place) {
    hash = Math.imul(hash ^ (part + 0x7f4a7c15), 0xc2b2ae35);
    hash ^= hash >>> 15;
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 4294967296;
}

/** Purpose of a random number: the argument that follows the device's index in `chanceOf`. */
export const asks = {
  fail: 1,
  latency: 2,
  loss: 3,
  offline: 4,
  retry: 5,
  power: 6,
  restart: 7,
  crash: 8,
} as const;
