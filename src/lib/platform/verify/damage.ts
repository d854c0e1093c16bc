import { createHash } from 'node:crypto';
import type { Logger } from 'pino';
import type { Damage, LostTelemetry } from '../../api/damage.js';
import { type PageQuery, pageOfRows } from '../../api/page.js';
import { AiotError } from '../../core/errors.js';
import type { Exposition } from '../../core/prometheus.js';
import type { Events } from '../events/events.js';
import type { Store } from '../store/database.js';
import { serially } from '../store/engine.js';
import type { Schema } from '../store/schema.js';

interface Parts {
  store: Store;
  events: Events;
  /** ms since 1970 */
  now: () => number;
  log: Pick<Logger, 'error'>;
}

/** Maximum number of places listed in an event, and of findings listed in status and metrics. */
const [mostPlaces, mostListed] = [50, 100];

/**
 * Damage to stored data, from its discovery to its repair. A finding is recorded once, even if it is found again.
 * Findings made together share one event and one log line. Status warns about a finding until an operator acknowledges
 * it.
 */
export class Damages {
  private readonly inTurn = serially();

  constructor(private readonly parts: Parts) {}

  /**
   * Records findings, which replace earlier findings for the same part, place, stream and device. Never throws, so that
   * a check continues.
   */
  async note(findings: readonly Finding[]): Promise<void> {
    if (findings.length === 0) return;
    try {
      await this.inTurn(() => this.write(findings));
    } catch (err) {
      this.parts.log.error({ err, findings: findings.slice(0, mostPlaces) }, 'could not record damage');
    }
  }

  /** Unacknowledged damage, the oldest first. */
  async open(): Promise<Damage[]> {
    const { store } = this.parts;
    const rows = await store
      .selectFrom('damages')
      .selectAll()
      .where('acknowledged', 'is', null)
      .orderBy('found')
      .orderBy('id')
      .limit(mostListed)
      .execute();
    return rows.map(damageOf);
  }

  async list({ limit, after }: PageQuery): Promise<{ damage: Damage[]; next: string | null }> {
    const rows = await this.parts.store
      .selectFrom('damages')
      .selectAll()
      .$if(after !== undefined, (query) => query.where('id', '>', after ?? ''))
      .orderBy('id')
      .limit(limit + 1)
      .execute();
    const { entries, next } = pageOfRows(rows, limit, ({ id }) => id);
    return { damage: entries.map(damageOf), next };
  }

  /** Returns the unacknowledged telemetry losses of one stream, including losses whose stream is unknown. */
  async ofStream(stream: string): Promise<LostTelemetry[]> {
    const rows = await this.parts.store
      .selectFrom('damages')
      .select('lost')
      .where('part', '=', 'journal')
      .where('acknowledged', 'is', null)
      .where('lost', 'is not', null)
      .execute();
    return rows
      .map(({ lost }) => JSON.parse(lost ?? '{}') as LostTelemetry)
      .filter((lost) => lost.stream === undefined || lost.stream === stream);
  }

  /** Acknowledges all damage, or only the damage with these ids. @throws AIOT_NOT_FOUND */
  async acknowledge(ids: readonly string[] | undefined, who: string): Promise<{ acknowledged: Damage[] }> {
    const { store, events, now } = this.parts;
    return this.inTurn(() =>
      store.transaction().execute(async (transaction) => {
        const rows = await transaction
          .selectFrom('damages')
          .selectAll()
          .orderBy('found')
          .orderBy('id')
          .execute();
        const unknown = ids?.find((id) => !rows.some((row) => row.id === id));
        if (unknown !== undefined) {
          const next = 'To see the findings and their ids, run `aiot platform acknowledge --dry-run`.';
          throw new AiotError('AIOT_NOT_FOUND', `no damage is recorded for ${unknown}`, { next });
        }
        const at = now();
        const some = rows.filter(
          ({ id, acknowledged }) => acknowledged === null && (ids?.includes(id) ?? true),
        );
        for (const { id } of some) {
          await transaction
            .updateTable('damages')
            .set({ acknowledged: at, who })
            .where('id', '=', id)
            .execute();
        }
        for (const [part, those] of byPart(some)) {
          const data = { ids: those.map(({ id }) => id) };
          await events.record({ type: 'damage.acknowledge', subject: part, who, data }, transaction);
        }
        return { acknowledged: some.map((row) => ({ ...damageOf(row), acknowledged: at, who })) };
      }),
    );
  }

  /** Deletes the records of repaired damage. */
  async repaired(findings: readonly Finding[], who = 'platform'): Promise<void> {
    const { store, events } = this.parts;
    const ids = new Set(findings.map(idOf));
    await this.inTurn(() =>
      store.transaction().execute(async (transaction) => {
        const rows = await transaction.selectFrom('damages').select(['id', 'part']).execute();
        const some = rows.filter(({ id }) => ids.has(id));
        for (const { id } of some) await transaction.deleteFrom('damages').where('id', '=', id).execute();
        for (const [part, those] of byPart(some)) {
          const data = { ids: those.map(({ id }) => id) };
          await events.record({ type: 'damage.repair', subject: part, who, data }, transaction);
        }
      }),
    );
  }

  /** Writes metrics about unacknowledged findings, and the number of rows that each finding lost. */
  async tell(out: Exposition): Promise<void> {
    const open = await this.open();
    const counts = new Map<string, number>();
    for (const { part } of open) counts.set(part, (counts.get(part) ?? 0) + 1);
    const parts = ['database', 'journal', 'index', 'broker', 'blob', 'key', 'reference'];
    out.family(
      'gauge',
      'aiot_damage_findings',
      'Unacknowledged damage at rest, by part.',
      parts.map((part) => [{ part }, counts.get(part) ?? 0]),
    );
    out.family(
      'gauge',
      'aiot_damaged_rows',
      'Lost rows of telemetry, by stream, device and time range.',
      open
        .filter(({ lost }) => lost?.rows !== undefined)
        .map(({ part, place, lost }) => {
          const { stream = '', device = '', from = '', to = '', rows = 0 } = lost ?? {};
          return [{ part, place, stream, device, from, to }, rows];
        }),
    );
  }

  private async write(findings: readonly Finding[]): Promise<void> {
    const { store, events, now, log } = this.parts;
    const fresh = await store.transaction().execute(async (transaction) => {
      const news: Finding[] = [];
      for (const finding of new Map(findings.map((each) => [idOf(each), each])).values()) {
        const { part, place, problem, lost, repairable } = finding;
        const id = idOf(finding);
        const said = {
          ...{ part, place, problem, repairable: repairable ? 1 : 0 },
          lost: lost === undefined ? null : JSON.stringify(lost),
        };
        const before = await transaction
          .selectFrom('damages')
          .selectAll()
          .where('id', '=', id)
          .executeTakeFirst();
        if (before?.problem === problem && before.lost === said.lost) continue;
        const row = { id, ...said, found: now(), acknowledged: null, who: null };
        await transaction
          .insertInto('damages')
          .values(row)
          .onConflict((conflict) => conflict.column('id').doUpdateSet(row))
          .execute();
        news.push(finding);
      }
      for (const [part, those] of byPart(news)) {
        const data = {
          findings: those.length,
          rows: those.reduce((sum, { lost }) => sum + (lost?.rows ?? 0), 0),
          places: those.slice(0, mostPlaces).map(({ place, problem, lost }) => {
            return { place, problem, ...(lost === undefined ? {} : { lost }) };
          }),
        };
        await events.record({ type: 'damage.find', subject: part, who: 'platform', data }, transaction);
      }
      return news;
    });
    if (fresh.length > 0)
      log.error({ findings: fresh.slice(0, mostPlaces), count: fresh.length }, 'found damaged data');
  }
}

function byPart<T extends { part: string }>(all: readonly T[]): Map<string, T[]> {
  const parts = new Map<string, T[]>();
  for (const each of all) parts.set(each.part, [...(parts.get(each.part) ?? []), each]);
  return parts;
}

/** Id of the damage, which is the same for findings with the same part, place, stream and device. */
function idOf({ part, place, lost }: Finding): string {
  const text = JSON.stringify([part, place, lost?.stream ?? null, lost?.device ?? null]);
  return createHash('sha256').update(text).digest('hex').slice(0, 12);
}

function damageOf({ lost, repairable, part, ...row }: Schema['damages']): Damage {
  return {
    ...row,
    part: part as Damage['part'],
    repairable: repairable === 1,
    ...(lost === null ? {} : { lost: JSON.parse(lost) as LostTelemetry }),
  };
}

/**
 * Damage to stored data, as reported by a check of a data folder: the place, the lost content, and whether it can be
 * repaired.
 */
export type Finding = {
  part: 'database' | 'journal' | 'index' | 'broker' | 'blob' | 'key' | 'reference';
  /** The file in the data folder, or the name of the object. */
  place: string;
  problem: string;
  /** Telemetry that can no longer be read, as far as known; times are in ISO 8601. */
  lost?: { stream?: string; device?: string; from?: string; to?: string; rows?: number };
  /** Whether the part can be restored from other files in the folder or from a backup. */
  repairable: boolean;
};
