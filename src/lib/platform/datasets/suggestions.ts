import type { RankedRecording, Ranking, RankingRequest } from '../../api/contract/data.js';
import { AiotError } from '../../core/errors.js';
import type { Reach } from '../access/reach.js';
import type { Events } from '../events/events.js';
import { cursorOf, type Telemetry } from '../journal/telemetry.js';
import type { Store } from '../store/database.js';
import type { Labels } from './labels.js';

interface Parts {
  store: Store;
  telemetry: Pick<Telemetry, 'take'>;
  labels: Labels;
  events: Events;
  now: () => number;
}

/** Recordings to label next: each stream's newest published ranking. */
export class SuggestionService {
  constructor(private readonly parts: Parts) {}

  /** Replaces the stream's ranking. @throws AIOT_NOT_FOUND if the stream lacks a ranked recording */
  async set(stream: string, ranking: RankingRequest, who: string): Promise<Ranking> {
    const { store, telemetry, events, now } = this.parts;
    for (const { device, recording } of ranking.recordings) {
      if (await telemetry.take({ channel: 'telemetry', stream, device, recording })) continue;
      throw new AiotError('AIOT_NOT_FOUND', `${device} has no recording ${recording} in ${stream}`, {
        next: `To see its recordings, run \`aiot data list ${stream}\`.`,
      });
    }
    const row = { at: now(), who, data: JSON.stringify(ranking) };
    const { model, recordings } = ranking;
    await store.transaction().execute(async (transaction) => {
      await transaction
        .insertInto('suggestions')
        .values({ stream, ...row })
        .onConflict((conflict) => conflict.column('stream').doUpdateSet(row))
        .execute();
      const data = { model, recordings: recordings.length };
      await events.record({ type: 'data.suggest', subject: stream, who, data }, transaction);
    });
    return this.get(stream);
  }

  /** The ranked recordings that still exist and have no label. With a `reach`, only those of its devices. */
  async get(stream: string, reach: Reach | null = null): Promise<Ranking> {
    const row = await this.parts.store
      .selectFrom('suggestions')
      .selectAll()
      .where('stream', '=', stream)
      .executeTakeFirst();
    if (!row) return { model: null, at: null, who: null, labels: [], recordings: [] };
    const { model, labels, recordings } = JSON.parse(row.data) as RankingRequest;
    const readable = recordings.filter(({ device }) => !reach || reach.has(device));
    const left = await this.unlabelled(stream, readable);
    return { model, at: row.at, who: row.who, labels, recordings: left };
  }

  private async unlabelled(stream: string, ranked: readonly RankedRecording[]): Promise<RankedRecording[]> {
    const { telemetry, labels } = this.parts;
    const given = await labels.ofDevices(stream, [...new Set(ranked.map(({ device }) => device))]);
    const left: RankedRecording[] = [];
    for (const one of ranked) {
      const said = given.get(cursorOf(one));
      if (said && (said.label !== null || said.parts.length > 0)) continue;
      const { device, recording } = one;
      if (await telemetry.take({ channel: 'telemetry', stream, device, recording })) left.push(one);
    }
    return left;
  }
}
