import { percentile } from './percentile.js';
import type { Probe } from './probe.js';

/** What has come back of a run, and when. */
export class Receipts {
  messages = 0;
  twice = 0;
  outOfOrder = 0;
  /** `performance.now()` of the last one that was new. */
  last = 0;
  first = 0;
  private readonly seen: Uint8Array;
  private readonly latencies: Float64Array;
  private highest = -1;

  constructor(count: number) {
    this.seen = new Uint8Array(count);
    this.latencies = new Float64Array(count);
  }

  take({ number, sent }: Probe, now: number): void {
    if (number < 0 || number >= this.seen.length) return;
    if (this.seen[number]) {
      this.twice++;
      return;
    }
    this.seen[number] = 1;
    if (number < this.highest) this.outOfOrder++;
    else this.highest = number;
    if (this.messages === 0) this.first = now;
    this.latencies[this.messages++] = now - sent;
    this.last = now;
  }

  /** ms from the sender to here; undefined when nothing came. */
  latency(): { least: number; p50: number; p90: number; p99: number; most: number } | undefined {
    if (this.messages === 0) return undefined;
    const sorted = this.latencies.slice(0, this.messages).sort();
    const at = (share: number) => Math.round(percentile(sorted, share) * 1000) / 1000;
    return { least: at(0), p50: at(0.5), p90: at(0.9), p99: at(0.99), most: at(1) };
  }
}
