import type { Reported } from '../../device/protocol/messages.js';

/** Different values that are remembered. Beyond that, all are forgotten, and equal values are stored once more. */
const most = 20_000;

/** Fields of a report that differ between all devices, or change with each report. */
const own: ReadonlySet<string> = new Set([
  ...(['t', 'download', 'shadow', 'proof', 'heap', 'memory'] satisfies (keyof Reported)[]),
]);

/**
 * Stores equal parts of devices once. The devices of a fleet run the same few releases and have the same sensors, and otherwise most of a
 * platform's memory would be copies. Shared parts must not be changed.
 */
export class Sharing {
  private readonly known = new Map<string, unknown>();

  report(reported: Reported | null): Reported | null {
    if (reported === null) return null;
    const shared: Record<string, unknown> = { ...reported };
    for (const [key, value] of Object.entries(reported))
      if (key === 'vitals') shared[key] = this.vitals(reported.vitals);
      else if (!own.has(key)) shared[key] = this.value(value);
    return shared as Reported;
  }

  /** Any JSON value. */
  value<Value>(value: Value): Value {
    const isText = typeof value === 'string';
    if (!isText && (typeof value !== 'object' || value === null)) return value;
    // The keys of texts cannot equal those of objects, which begin with a bracket.
    const key = isText ? `"${value}` : JSON.stringify(value);
    const known = this.known.get(key);
    if (known !== undefined) return known as Value;
    if (this.known.size >= most) this.known.clear();
    this.known.set(key, value);
    return value;
  }

  /** Measurements differ between devices; the reason for the last restart rarely does. */
  private vitals(vitals: Reported['vitals']): Reported['vitals'] {
    if (vitals === undefined) return undefined;
    return vitals.boot === undefined ? vitals : { ...vitals, boot: this.value(vitals.boot) };
  }
}
