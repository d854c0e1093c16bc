import { type Cause, type CauseCode, causeCodes, type HealthState } from '../api/contract/attention.js';
import { lasting, percent, plural, size } from '../core/figures.js';
import { formatDuration, parseDuration } from '../core/time.js';
import type { Reported } from '../device/protocol/messages.js';
import { type DeviceState, mayConnect } from './device.js';
import type { SettingsDrift } from './settings.js';

/** Facts about a device that determine its health. Times are ms since 1970. */
export interface HealthFacts {
  name: string;
  state: DeviceState;
  tags: Readonly<Record<string, string>>;
  created: number;
  /** Expiry of the certificate that expires last; null = no certificate. */
  expires: number | null;
  online: boolean;
  lastSeen: number | null;
  /** Time from which an absence counts, because the platform could not receive messages before. */
  watchedSince: number;
  /** Whether the device was silent before `watchedSince`. */
  wasSilent: boolean;
  reported: Reported | null;
  /** Times of the connections within the last `restartWindowMs`, oldest first. */
  connections: readonly number[];
  /** Time of the report that has the current error; null = unknown. */
  errorSince: number | null;
  /** Time of the report that first had the current reason for the last restart; null = more than `restartWindowMs` ago, or unknown. */
  bootSince: number | null;
  /** The device's settings, and the time from which it should use them; absent = it has none. */
  settings?: { drift: SettingsDrift; since: number } | null;
  /** How its telemetry differs from the training data of its model; absent = no difference is known. */
  drift?: DriftFact | null;
  /** Number of messages that were rejected within `rejectWindowMs`. */
  rejected: { count: number; first: number; message: string } | null;
}

/** The field of a signal that has drifted furthest from the training data. */
export interface DriftFact {
  model: string;
  version: number;
  stream: string;
  field: string;
  /** `psi`: population stability index; `stuck`: number of successive samples with one value. */
  measure: 'psi' | 'stuck';
  value: number;
  limit: number;
  since: number;
}

/** Tag that sets a different limit for a device that sleeps, such as `silent-after=6h`. */
export const silentTag = 'silent-after';
export const usualSilentMs = 5 * 60_000;
export const restartWindowMs = 3600_000;
export const rejectWindowMs = 3600_000;
/** Number of connections within the window from which a device counts as restarting. */
const manyConnections = 6;
const soonMs = 30 * 86_400_000;
/** Largest difference between a device's clock and the platform's, ms. */
const clockToleranceMs = 5 * 60_000;
/** A report cannot be older than its device. A tolerance of a day allows for clocks that were corrected. */
const dayMs = 86_400_000;
const littleHeap = 8192;

/** Time without a connection after which a device is silent, ms. An invalid tag counts as absent. */
export function silentAfterMs(tags: Readonly<Record<string, string>>): number {
  const own = tags[silentTag];
  if (own === undefined) return usualSilentMs;
  try {
    return parseDuration(own);
  } catch {
    return usualSilentMs;
  }
}

type Rule = (facts: HealthFacts, now: number) => Omit<Cause, 'code'> | null;

/** Returns a device's problems in the order of `causeCodes`; empty = none. Suspended and revoked devices have none. */
export function causesOf(facts: HealthFacts, now: number): Cause[] {
  if (!mayConnect(facts.state)) return [];
  const found: Cause[] = [];
  for (const [code, rule] of inOrder()) {
    const cause = rule(facts, now);
    if (cause) found.push({ code, ...cause });
  }
  return found;
}

let ordered: readonly (readonly [CauseCode, Rule])[] | undefined;

function inOrder() {
  ordered ??= causeCodes.map((code) => [code, rules[code]] as const);
  return ordered;
}

/** The most urgent state among the causes. */
export function healthOf({ lastSeen }: Pick<HealthFacts, 'lastSeen'>, causes: readonly Cause[]): HealthState {
  for (const state of ['failing', 'silent', 'degraded'] as const)
    if (causes.some((cause) => cause.state === state)) return state;
  return lastSeen === null ? 'unknown' : 'ok';
}

const rules: Record<CauseCode, Rule> = {
  'certificate-expired': ({ name, expires }, now) =>
    expires === null || expires > now
      ? null
      : {
          state: 'failing',
          message: `its certificate expired on ${day(expires)}, so it cannot connect`,
          since: expires,
          next: `Write a new certificate to it: \`aiot device rotate ${name}\`.`,
        },
  'update-failed': ({ name, reported, lastSeen, errorSince }) => {
    if (!reported?.error) return null;
    const { state, error, rollout, kind = 'model' } = reported;
    if (state !== 'ROLLED_BACK' && !(state === 'IDLE' && rollout !== null)) return null;
    const outcome = state === 'ROLLED_BACK' ? 'rolled back' : 'was rejected';
    return {
      state: 'failing',
      message: `its ${kind} update ${outcome}: ${error.message} (${error.code})`,
      since: errorSince ?? lastSeen ?? reported.t,
      next:
        rollout === null
          ? `Read its log: \`aiot device logs ${name}\`.`
          : `Compare it with the rollout's other devices: \`aiot rollout show ${rollout}\`.`,
    };
  },
  'sensor-unfit': ({ name, reported, lastSeen }) => {
    const reason = reported?.sensor?.unfit;
    if (typeof reason !== 'string') return null;
    return {
      state: 'failing',
      message: `its model makes no predictions, because it does not fit the sensor: ${reason}`,
      since: lastSeen ?? reported?.t ?? 0,
      next: `Compare the sensor's stream with the model's input: \`aiot device show ${name}\`.`,
    };
  },
  'battery-empty': (facts) => battery(facts, 0, 5, 'failing', 'Replace or charge the battery now.'),
  'battery-low': (facts) => battery(facts, 5, 20, 'degraded', 'Plan to replace or charge the battery.'),
  'disk-full': (facts) => disk(facts, 0, 0.02, 'failing'),
  'disk-low': (facts) => disk(facts, 0.02, 0.1, 'degraded'),
  silent: ({ name, online, lastSeen, watchedSince, wasSilent, tags }, now) => {
    if (online || lastSeen === null) return null;
    const absentSince = wasSilent ? lastSeen : Math.max(lastSeen, watchedSince);
    const limit = silentAfterMs(tags);
    if (now - absentSince < limit) return null;
    return {
      state: 'silent',
      message: `it has been offline for more than ${formatDuration(limit)}`,
      since: lastSeen,
      next: `Check its power and network. If it sleeps for long periods, raise the limit: \`aiot device tag ${name} ${silentTag}=6h\`.`,
    };
  },
  restarting: ({ name, connections, reported, bootSince }, now) => {
    const boot = reported?.vitals?.boot;
    // Every report contains the reason, even one that follows a mere loss of the network.
    const isRecent = bootSince !== null && bootSince > now - restartWindowMs;
    const reason = (boot && isRecent && faults[boot.reason]) || null;
    if (connections.length < manyConnections && reason === null) return null;
    const times = `it connected ${plural(connections.length, 'time')} within ${formatDuration(restartWindowMs)}`;
    const often = connections.length >= manyConnections;
    return {
      state: often && reason !== null ? 'failing' : 'degraded',
      message: often
        ? `${times}${reason === null ? '' : `; its last restart was ${reason}`}`
        : `its last restart was ${reason}`,
      since: (often ? connections[0] : bootSince) ?? now,
      next:
        boot?.reason === 'brownout'
          ? "Check its power supply: the voltage drops below the chip's minimum."
          : `Check its power and its Wi-Fi signal, and read its log: \`aiot device logs ${name}\`.`,
    };
  },
  'memory-low': ({ name, reported, lastSeen }) => {
    const least = reported?.heap?.least;
    if (least === undefined || least >= littleHeap) return null;
    return {
      state: 'degraded',
      message: `its free memory has dropped to ${size(least)} since it started`,
      since: lastSeen ?? 0,
      next: `Deploy a smaller model, or restart it: \`aiot device call ${name} reboot\`.`,
    };
  },
  'messages-lost': ({ name, reported, lastSeen }) => {
    const queue = reported?.vitals?.queue;
    if (queue === undefined || queue.dropped === 0) return null;
    return {
      state: 'degraded',
      message: `its queue was full: it dropped ${plural(queue.dropped, 'message')}, and ${queue.waiting} are waiting`,
      since: lastSeen ?? 0,
      next: `Check its network. If it is meant to be offline that long, lower its sampling rate: \`aiot device config deploy --help\`. Its log: \`aiot device logs ${name}\`.`,
    };
  },
  'messages-rejected': ({ name, rejected }) =>
    rejected && {
      state: 'degraded',
      message: `${plural(rejected.count, 'message')} violated the protocol and ${rejected.count === 1 ? 'was' : 'were'} not stored; the last one: ${rejected.message}`,
      since: rejected.first,
      next: `Find the fault in its firmware: \`aiot device conform --selector ${name}\`.`,
    },
  'clock-wrong': ({ name, reported, lastSeen, created }) => {
    if (!reported || lastSeen === null) return null;
    const ahead = reported.t - lastSeen;
    if (ahead <= clockToleranceMs && reported.t >= created - dayMs) return null;
    return {
      state: 'degraded',
      message:
        ahead > clockToleranceMs
          ? `its clock is ahead by at least ${lasting(ahead)}`
          : `its clock shows ${day(reported.t)}, before it was registered`,
      since: lastSeen,
      next: `Its samples have wrong times. Give it access to a time server (NTP, UDP port 123), then restart it: \`aiot device call ${name} reboot\`.`,
    };
  },
  drift: ({ name, drift }) => {
    if (!drift) return null;
    const { model, version, stream, field, measure, value, limit, since } = drift;
    const found =
      measure === 'stuck'
        ? `${field} kept one value for ${plural(value, 'sample')}, at most ${limit - 1} are usual`
        : `${field} has a PSI of ${value}, at most ${limit} is usual`;
    const file = `${name}.csv`;
    return {
      state: 'degraded',
      message: `its signal differs from the training data of ${model}@${version}: ${found}`,
      since,
      next: `Check the sensor and how it is mounted. To compare all fields, run \`aiot data export ${stream} --selector ${name} --out ${file}\`, then \`aiot data drift ${file}\` in the model's project.`,
    };
  },
  'settings-drift': ({ name, reported, settings }) => {
    if (!settings) return null;
    const { drift, since } = settings;
    const next = `Compare them, then set them again or restart the device: \`aiot device settings show ${name}\`.`;
    if (drift.state === 'rejected') {
      const { code = '', message = '' } = reported?.settings?.error ?? {};
      return { state: 'degraded', message: `it rejected its settings: ${message} (${code})`, since, next };
    }
    if (drift.state !== 'drifted') return null;
    const [first, ...others] = drift.differences;
    const shown = (value: unknown) => (JSON.stringify(value) ?? 'none').slice(0, 60);
    const detail = first
      ? `${first.path} is ${shown(first.reported)} instead of ${shown(first.desired)}${others.length > 0 ? `, and ${others.length} more differ` : ''}`
      : 'it reports another digest';
    return { state: 'degraded', message: `it has not applied its settings: ${detail}`, since, next };
  },
  'certificate-expiring': ({ name, expires }, now) =>
    expires === null || expires <= now || expires - now > soonMs
      ? null
      : {
          state: 'degraded',
          message: `its certificate expires on ${day(expires)}; then it can no longer connect`,
          since: expires - soonMs,
          next: `Renew it before that day: \`aiot device rotate ${name}\`.`,
        },
};

/** Restarts that are faults, by reason; null = not a fault. */
const faults = {
  'power-on': null,
  software: null,
  panic: 'a crash of its firmware',
  watchdog: 'forced by its watchdog',
  brownout: 'caused by too low a supply voltage (brownout)',
  other: 'unexpected',
} as const satisfies Record<string, string | null>;

function battery(
  { reported, lastSeen }: HealthFacts,
  from: number,
  below: number,
  state: 'failing' | 'degraded',
  next: string,
): Omit<Cause, 'code'> | null {
  const level = reported?.vitals?.battery?.percent;
  if (level === undefined || level < from || level >= below) return null;
  return { state, message: `its battery is at ${Math.round(level)} %`, since: lastSeen ?? 0, next };
}

function disk(
  { name, reported, lastSeen }: HealthFacts,
  from: number,
  below: number,
  state: 'failing' | 'degraded',
): Omit<Cause, 'code'> | null {
  const found = reported?.vitals?.disk;
  if (found === undefined || found.totalBytes === 0) return null;
  const share = found.freeBytes / found.totalBytes;
  if (share < from || share >= below) return null;
  return {
    state,
    message: `only ${percent(share)} of its disk is free (${size(found.freeBytes)})`,
    since: lastSeen ?? 0,
    next: `Free space on ${name}: old logs first, then spooled messages that have been delivered.`,
  };
}

function day(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}
