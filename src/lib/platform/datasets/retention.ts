import type { RemovedRecordings, Retention, RetentionRequest } from '../../api/contract/data.js';
import { type PageQuery, pageOfRows } from '../../api/page.js';
import { AiotError } from '../../core/errors.js';
import { type Reach, requireInReach } from '../access/reach.js';
import type { Events } from '../events/events.js';
import type { Take } from '../journal/takes.js';
import { cursorOf, type Telemetry } from '../journal/telemetry.js';
import type { Store } from '../store/database.js';
import type { Turns } from '../store/engine.js';
import { every, type Worker } from '../workers.js';
import type { Labels } from './labels.js';
import { type LogRetentionService, logPolicyKey } from './log-retention.js';

/** Interval at which policies are applied, ms. */
const periodMs = 3_600_000;

interface RetentionParts {
  store: Store;
  telemetry: Telemetry;
  labels: Labels;
  logs: LogRetentionService;
  events: Events;
  turns: Turns;
  now: () => number;
}

const dayMs = 86_400_000;
const together = 1000;

/** A block is rewritten automatically only when at least this fraction of it is unused. */
const worthIt = 0.25;

/**
 * Retention policies, and the removal of recordings. Labeled recordings are protected, and removed only on explicit request.
 */
export class RetentionService {
  constructor(private readonly parts: RetentionParts) {}

  async list({ limit, after }: PageQuery): Promise<{ policies: Retention[]; next: string | null }> {
    const rows = await this.parts.store
      .selectFrom('retention')
      .selectAll()
      .where('stream', '>', after ?? logPolicyKey)
      .orderBy('stream')
      .limit(limit + 1)
      .execute();
    const { entries, next } = pageOfRows(rows, limit, ({ stream }) => stream);
    return { policies: entries.map(policyOf), next };
  }

  async set(stream: string, policy: RetentionRequest, who: string): Promise<Retention> {
    const { days, bytes } = policy;
    const labelled = policy.labelled ? 1 : 0;
    await this.parts.store.transaction().execute(async (transaction) => {
      await transaction
        .insertInto('retention')
        .values({ stream, days, bytes, labelled })
        .onConflict((conflict) => conflict.column('stream').doUpdateSet({ days, bytes, labelled }))
        .execute();
      const event = { type: 'data.retention' as const, subject: stream, who, data: { ...policy } };
      await this.parts.events.record(event, transaction);
    });
    return { stream, ...policy };
  }

  /** @throws AIOT_NOT_FOUND */
  async forget(stream: string, who: string): Promise<Retention> {
    return this.parts.store.transaction().execute(async (transaction) => {
      const row = await transaction
        .deleteFrom('retention')
        .where('stream', '=', stream)
        .returningAll()
        .executeTakeFirst();
      if (!row) throw new AiotError('AIOT_NOT_FOUND', `the stream ${stream} has no retention policy`);
      const data = { days: null, bytes: null, labelled: false };
      await this.parts.events.record({ type: 'data.retention', subject: stream, who, data }, transaction);
      return policyOf(row);
    });
  }

  /** Applies the policies of one stream or of all. @param explicit whether to free the space immediately, at any cost */
  async run(
    { stream, dryRun = false }: { stream?: string | undefined; dryRun?: boolean },
    who: string,
    explicit = true,
  ): Promise<RemovedRecordings> {
    return this.parts.turns.of('retention')(async () => {
      const rows = await this.parts.store
        .selectFrom('retention')
        .selectAll()
        .where('stream', '<>', logPolicyKey)
        .$if(stream !== undefined, (query) => query.where('stream', '=', stream ?? ''))
        .orderBy('stream')
        .execute();
      if (stream !== undefined && rows.length === 0) {
        throw new AiotError('AIOT_NOT_FOUND', `the stream ${stream} has no retention policy`, {
          next: `Set one with \`aiot data retention ${stream} --days 30\`.`,
        });
      }
      const plans: Plan[] = [];
      for (const row of rows) plans.push(await this.due(policyOf(row)));
      return this.carryOut(plans, dryRun, who, explicit);
    });
  }

  /** Applies the policies every hour. */
  worker(): Worker {
    return {
      name: 'retention',
      run: (signal) =>
        every(periodMs, signal, async () => {
          // Log lines are removed even if telemetry cannot be, and the failures are reported then.
          const results = [
            ...(await Promise.allSettled([this.run({}, 'platform', false)])),
            ...(await Promise.allSettled([this.parts.logs.run({}, 'platform', false)])),
          ];
          const reasons = results.flatMap((result) =>
            result.status === 'rejected' ? [result.reason as unknown] : [],
          );
          if (reasons.length > 1) throw bothFailed(reasons);
          if (reasons.length === 1) throw reasons[0];
        }),
    };
  }

  /** Removes recordings of one device. @throws AIOT_NOT_FOUND if it has none, AIOT_NOT_ALLOWED if it has left the reach */
  async remove(
    stream: string,
    query: { device: string; recording?: string | undefined; labelled: boolean; dryRun: boolean },
    who: string,
    reach: Reach | null = null,
  ): Promise<RemovedRecordings> {
    const { device, recording, labelled, dryRun } = query;
    return this.parts.turns.of('retention')(async () => {
      requireInReach(reach, [device]);
      const takes = (await this.all(stream, device)).filter(
        (take) => recording === undefined || take.recording === recording,
      );
      if (takes.length === 0) {
        const what = recording === undefined ? 'no recordings' : `no recording ${recording}`;
        throw new AiotError('AIOT_NOT_FOUND', `${device} has ${what} in ${stream}`, {
          next: `To see its recordings, run \`aiot data list ${stream}\`.`,
        });
      }
      const isProtected = await this.protection(stream, takes, labelled);
      const gone = takes.filter((take) => !isProtected(take));
      return this.carryOut([{ gone, kept: takes.length - gone.length }], dryRun, who, true);
    });
  }

  /** The recordings that a policy removes: recordings that are too old, then the oldest until the rest fits. */
  private async due({ stream, days, bytes, labelled }: Retention): Promise<Plan> {
    const takes = await this.all(stream);
    const isProtected = await this.protection(stream, takes, labelled);
    const oldest = days === null ? Number.NEGATIVE_INFINITY : this.parts.now() - days * dayMs;
    let left = takes.reduce((sum, take) => sum + take.bytes, 0);
    const plan: Plan = { gone: [], kept: 0 };
    for (const take of takes.sort((a, b) => (a.lastAt ?? 0) - (b.lastAt ?? 0))) {
      if ((take.lastAt ?? 0) >= oldest && (bytes === null || left <= bytes)) continue;
      if (isProtected(take)) plan.kept++;
      else {
        plan.gone.push(take);
        left -= take.bytes;
      }
    }
    return plan;
  }

  private async all(stream: string, device?: string): Promise<Take[]> {
    const takes: Take[] = [];
    const devices = device === undefined ? undefined : [device];
    for (let after: string | undefined; ; ) {
      const some = await this.parts.telemetry.takes({ stream, devices, after, limit: together });
      for (const take of some) takes.push(take);
      const last = some.at(-1);
      if (!last || some.length < together) return takes;
      after = cursorOf(last);
    }
  }

  private async protection(stream: string, takes: readonly Take[], labelled: boolean) {
    if (labelled) return () => false;
    const devices = [...new Set(takes.map(({ device }) => device))];
    const given = await this.parts.labels.ofDevices(stream, devices);
    return (take: Take) => {
      const said = given.get(cursorOf(take));
      return said !== undefined && (said.label !== null || said.parts.length > 0);
    };
  }

  private async carryOut(
    plans: readonly Plan[],
    dryRun: boolean,
    who: string,
    explicit: boolean,
  ): Promise<RemovedRecordings> {
    const { telemetry, store, events, labels } = this.parts;
    const gone = plans.flatMap((plan) => plan.gone);
    const told = {
      recordings: gone.map(({ stream, device, recording, samples, bytes }) => {
        return { stream, device, recording, samples, bytes };
      }),
      kept: plans.reduce((sum, { kept }) => sum + kept, 0),
      bytes: gone.reduce((sum, { bytes }) => sum + bytes, 0),
      dryRun,
    };
    if (dryRun) return { ...told, freed: 0 };
    for (let i = 0; i < gone.length; i += together) {
      const some = gone.slice(i, i + together);
      // Recorded first, so that after an interruption the next run completes the recorded removals.
      await store.transaction().execute(async (transaction) => {
        for (const { stream, device, recording, samples, bytes } of some) {
          const subject = `${stream}/${device}/${recording}`;
          await events.record({ type: 'data.remove', subject, who, data: { samples, bytes } }, transaction);
          await labels.forget({ stream, device, recording }, transaction);
        }
      });
      await telemetry.remove(some);
    }
    const { bytes: freed } = await telemetry.reclaim(explicit ? 0 : worthIt);
    return { ...told, freed };
  }
}

/** One error for both, with the first one's code. */
function bothFailed(reasons: readonly unknown[]): AiotError {
  const [first] = reasons;
  const code = first instanceof AiotError ? first.code : 'AIOT_BUG';
  const texts = reasons.map((reason) => (reason instanceof Error ? reason.message : String(reason)));
  const cause = new AggregateError(reasons, 'removing telemetry and log lines failed');
  return new AiotError(code, `telemetry: ${texts[0]}; log lines: ${texts[1]}`, { cause });
}

interface Plan {
  gone: Take[];
  /** Number of recordings protected by a label. */
  kept: number;
}

function policyOf({
  stream,
  days,
  bytes,
  labelled,
}: {
  stream: string;
  days: number | null;
  bytes: number | null;
  labelled: number;
}): Retention {
  return { stream, days, bytes, labelled: labelled === 1 };
}
