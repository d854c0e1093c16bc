import { sha256Hex } from '../core/crypto.js';
import { maskSecrets } from '../core/mask.js';
import type { CrashPlace, CrashReport } from '../formats/crash.js';

/** Number of innermost calls that make up a signature. Outer calls may differ for the same defect. */
const callsInSignature = 5;

/** Functions that only report a failure that occurred in their caller. */
const reporters =
  /^(_*(?:assert\w*|abort\w*|raise|kill|pthread_kill\w*|panic\w*|esp_system_abort|esp_error_check\w*|stack_chk_fail\w*)|node:internal\/.*)$/i;

/** Digits and addresses differ between crashes with the same cause. */
const withoutNumbers = (reason: string) => reason.replaceAll(/0x[0-9a-f]+|\d+/gi, '#').slice(0, 200);

/**
 * Identifies crashes with the same cause, 12 hex digits. Named functions yield the same signature in all versions of a program. Addresses
 * without names are comparable only within one build. A crash without a backtrace is identified by its reason.
 */
export function crashSignature(
  { kind, reason, firmware }: CrashReport,
  frames: readonly CrashPlace[],
): string {
  const parts = ['aiot-crash/1', kind, ...framesOfSignature(frames, firmware?.build ?? '')];
  if (frames.length === 0) parts.push(withoutNumbers(reason));
  return sha256Hex(Buffer.from(parts.join('\n'))).slice(0, 12);
}

function framesOfSignature(frames: readonly CrashPlace[], build: string): string[] {
  const named = frames.filter(({ function: name }) => name !== undefined);
  // The innermost call is decisive. If only outer calls had names, different defects would have the same signature.
  if (frames[0]?.function !== undefined || frames[0]?.address === undefined) {
    const own = named.filter(({ function: name = '' }) => !reporters.test(name));
    return (own.length > 0 ? own : named).slice(0, callsInSignature).map(({ function: name = '' }) => name);
  }
  const addresses = frames.slice(0, callsInSignature).map(({ address = '' }) => address);
  return [build, ...addresses];
}

/** The place to look at first: the innermost call that does not only report the failure. Null without a backtrace. */
export function crashPlace(frames: readonly CrashPlace[]): CrashPlace | null {
  return (
    frames.find(({ function: name }) => name !== undefined && !reporters.test(name)) ?? frames[0] ?? null
  );
}

/** Returns the report with likely secrets masked in all of its text. The stack is unchanged, because only addresses are read from it. */
export function maskedCrash(report: CrashReport): CrashReport {
  const { reason, log, details } = report;
  return {
    ...report,
    reason: maskSecrets(reason).slice(0, 300),
    ...(log ? { log: log.map(maskSecrets) } : {}),
    ...(details ? { details: Object.fromEntries(Object.entries(details).map(maskedEntry)) } : {}),
  };
}

function maskedEntry([name, value]: [string, string | number | boolean]): [
  string,
  string | number | boolean,
] {
  if (typeof value !== 'string') return [name, value];
  // The name itself may indicate that the value is a secret.
  const masked = maskSecrets(`${name}=${value}`);
  return [name, masked.startsWith(`${name}=`) ? masked.slice(name.length + 1) : maskSecrets(value)];
}
