import type { Objective } from '../api/condition.js';
import type { Exposition, Histogram } from '../core/prometheus.js';
import { mayConnect } from '../fleet/device.js';
import type { Devices } from './devices/devices.js';
import type { Store } from './store/database.js';

interface Parts {
  store: Store;
  devices: Devices;
  /** How long it took to store devices' messages, seconds. */
  ingest: Histogram;
  /** ms since 1970 */
  now: () => number;
}

/** Time in which a message must be stored, s; one of the histogram's bounds. */
const storedWithin = 0.25;
const [minuteMs, hourMs, weekMs] = [60_000, 3_600_000, 7 * 86_400_000];

/** The share of good outcomes that each objective demands. */
const targets = { ingest: 0.99, presence: 0.95, updates: 0.95 } as const;

type Count = { good: number; total: number };
type Sample = { at: number } & Record<'ingest' | 'presence', Count>;

/** Service level objectives: whether messages are stored in time, devices are online, and updates succeed. */
export class Objectives {
  private readonly presence: Count = { good: 0, total: 0 };
  /** Cumulative counts since the start, one sample per minute, oldest first. The first is the last one before the past hour, if there is one. */
  private readonly samples: Sample[] = [];
  private updates: { at: number; count: Promise<Count> } | null = null;

  constructor(private readonly parts: Parts) {}

  /** Takes a sample every minute until the returned function is called. */
  start(): () => void {
    this.note();
    const timer = setInterval(() => void this.sample(), minuteMs);
    timer.unref();
    return () => clearInterval(timer);
  }

  /** Counts the devices that are online, of those that have ever connected and may still do so. */
  async sample(): Promise<void> {
    const { devices } = this.parts;
    const { presence } = this;
    await devices.visit(({ name, state, lastSeen }) => {
      if (!mayConnect(state) || lastSeen === null) return;
      presence.total++;
      if (devices.online(name)) presence.good++;
    });
    this.note();
  }

  private note(): void {
    const at = this.parts.now();
    this.samples.push({ at, ingest: this.ingested(), presence: { ...this.presence } });
    while (this.samples.length > 1 && (this.samples[1]?.at ?? 0) <= at - hourMs) this.samples.shift();
  }

  async list(): Promise<Objective[]> {
    const [first] = this.samples;
    const since = (name: 'ingest' | 'presence', now: Count): Count => ({
      good: now.good - (first?.[name].good ?? 0),
      total: now.total - (first?.[name].total ?? 0),
    });
    return [
      objective('ingest', hourMs, since('ingest', this.ingested())),
      objective('presence', hourMs, since('presence', this.presence)),
      // The status is also available while the database is not.
      objective('updates', weekMs, await this.updated().catch(() => ({ good: 0, total: 0 }))),
    ];
  }

  async tell(out: Exposition): Promise<void> {
    const all = await this.list();
    out.family(
      'gauge',
      'aiot_objective_ratio',
      'Share of good outcomes by service level objective; absent without outcomes.',
      all.flatMap(({ name, share }) => (share === null ? [] : [[{ objective: name }, share] as const])),
    );
    out.family(
      'gauge',
      'aiot_objective_target_ratio',
      'Share of good outcomes that the objective demands.',
      all.map(({ name, target }) => [{ objective: name }, target]),
    );
  }

  private ingested(): Count {
    const { bounds, counts } = this.parts.ingest;
    const sum = (numbers: readonly number[]) => numbers.reduce((all, count) => all + count, 0);
    return { good: sum(counts.slice(0, bounds.indexOf(storedWithin) + 1)), total: sum(counts) };
  }

  /** Outcomes of the devices in rollouts; counted at most once a minute, because there may be many. */
  private updated(): Promise<Count> {
    const at = this.parts.now();
    if (this.updates === null || at - this.updates.at >= minuteMs)
      this.updates = { at, count: this.countUpdates(at) };
    const { count } = this.updates;
    count.catch(() => {
      this.updates = null;
    });
    return count;
  }

  private async countUpdates(at: number): Promise<Count> {
    const rows = await this.parts.store
      .selectFrom('rolloutDevices')
      .select(['state', ({ fn }) => fn.countAll<number>().as('count')])
      .where('state', 'in', ['committed', 'rolledBack', 'failed'])
      .where('updated', '>=', at - weekMs)
      .groupBy('state')
      .execute();
    const total = rows.reduce((sum, { count }) => sum + Number(count), 0);
    return { good: Number(rows.find(({ state }) => state === 'committed')?.count ?? 0), total };
  }
}

function objective(name: Objective['name'], windowMs: number, { good, total }: Count): Objective {
  const target = targets[name];
  const share = total === 0 ? null : good / total;
  return { name, target, share, good, total, windowMs, met: share === null ? null : share >= target };
}
