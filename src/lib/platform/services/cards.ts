import type { AiotError } from '../../core/index.js';
import type { BundleInfo, NetworkInfo } from '../../model/index.js';
import {
  type ModelSummary,
  type ModelVersion,
  numberOf,
  type Origin,
  type PageQuery,
  pageOfRows,
  type Stage,
} from '../../registry/index.js';
import type { Store } from '../store/database.js';
import type { Schema } from '../store/schema.js';
import { unknownRelease } from './release.js';

export type ModelRow = Omit<Schema['models'], 'stage' | 'removed' | 'origin'> & {
  stage: string;
  removed: number | null;
  origin: string | null;
};

/** What is known of a version that came in without a signature: nobody has looked into it. */
export const uploadInfo = { kind: 'upload' } as const;
type Info = BundleInfo | NetworkInfo | typeof uploadInfo;

/** The versions that are there, as cards made from their bundle.json. */
export class ModelCards {
  constructor(protected readonly store: Store) {}

  /** By name. */
  async list({ limit, after }: PageQuery): Promise<{ models: ModelSummary[]; next: string | null }> {
    const groups = await this.present()
      .select(['name', ({ fn }) => fn.countAll<number>().as('versions')])
      .$if(after !== undefined, (query) => query.where('name', '>', after ?? ''))
      .groupBy('name')
      .orderBy('name')
      .limit(limit + 1)
      .execute();
    const { entries, next } = pageOfRows(groups, limit, ({ name }) => name);
    if (entries.length === 0) return { models: [], next };
    const names = entries.map(({ name }) => name);
    const latest = await this.present()
      .selectAll()
      .where('name', 'in', names)
      .where('version', '=', (is) =>
        is
          .selectFrom('models as other')
          .select(({ fn }) => fn.max('other.version').as('version'))
          .whereRef('other.name', '=', 'models.name')
          .where('other.removed', 'is', null),
      )
      .execute();
    const production = await this.present()
      .select(['name', 'version'])
      .where('name', 'in', names)
      .where('stage', '=', 'production')
      .orderBy('version', 'desc')
      .execute();
    const cards = new Map(latest.map((row) => [row.name, cardOf(row)]));
    const inUse = new Map(production.map(({ name, version }) => [name, version]));
    const models = entries.flatMap(({ name, versions }) => {
      const card = cards.get(name);
      // Removed between the two looks.
      if (!card) return [];
      return [{ name, versions: Number(versions), latest: card, production: inUse.get(name) ?? null }];
    });
    return { models, next };
  }

  /** Names, and versions of all of them. */
  async counts(): Promise<{ models: number; modelVersions: number }> {
    const { names, versions } = await this.present()
      .select(({ fn }) => [
        fn.count<number>('name').distinct().as('names'),
        fn.countAll<number>().as('versions'),
      ])
      .executeTakeFirstOrThrow();
    return { models: Number(names), modelVersions: Number(versions) };
  }

  /** Newest first. @throws AIOT_NOT_FOUND */
  async versions(
    name: string,
    { limit, after }: PageQuery,
  ): Promise<{ versions: ModelVersion[]; next: string | null }> {
    const rows = await this.present()
      .selectAll()
      .where('name', '=', name)
      .$if(after !== undefined, (query) => query.where('version', '<', numberOf(after ?? '')))
      .orderBy('version', 'desc')
      .limit(limit + 1)
      .execute();
    if (rows.length === 0 && after === undefined) throw await this.unknown(name);
    const { entries, next } = pageOfRows(rows, limit, ({ version }) => String(version));
    return { versions: entries.map(cardOf), next };
  }

  /** @throws AIOT_NOT_FOUND */
  async get(name: string, version: number): Promise<ModelVersion> {
    return cardOf(await this.row(name, version));
  }

  async info(name: string, version: number): Promise<Info> {
    return infoOf(await this.row(name, version));
  }

  protected async row(name: string, version: number): Promise<ModelRow> {
    const row = await this.present()
      .selectAll()
      .where('name', '=', name)
      .where('version', '=', version)
      .executeTakeFirst();
    if (row) return row;
    throw await this.unknown(name, version);
  }

  private async unknown(name: string, version?: number): Promise<AiotError> {
    const rows = await this.present().select(['name', 'version']).orderBy('version').execute();
    return unknownRelease({ noun: 'model', list: 'aiot model list' }, rows, { name, version });
  }

  private present() {
    return this.store.selectFrom('models').where('removed', 'is', null);
  }
}

function infoOf(row: ModelRow): Info {
  return JSON.parse(row.info) as Info;
}

export function cardOf(row: ModelRow): ModelVersion {
  const info = infoOf(row);
  const { name, version, sequence, digest, bytes, pushed } = row;
  return {
    name,
    version,
    sequence,
    trusted: sequence > 0,
    origin: row.origin === null ? null : (JSON.parse(row.origin) as Origin),
    digest,
    bytes,
    pushed,
    stage: row.stage as Stage,
    kind: info.kind,
    mode: info.kind === 'upload' ? 'unknown' : info.quantization.mode,
    ...knownOf(info),
  };
}

function knownOf(info: Info) {
  if (info.kind !== 'model') {
    return { answer: null, classes: [], arenaBytes: null, metrics: null, gates: [], lineage: null };
  }
  const { answer, classes, arenaBytes, metrics, gates, lineage } = info;
  return { answer: { ...answer }, classes, arenaBytes, metrics, gates, lineage: { ...lineage } };
}
