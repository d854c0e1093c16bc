import { AiotError } from '../../core/index.js';
import type { BundleInfo, NetworkInfo } from '../../model/index.js';
import type { ModelSummary, ModelVersion, Origin, Stage } from '../../registry/index.js';
import type { Store } from '../store/database.js';
import type { Schema } from '../store/schema.js';

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

  async list(): Promise<ModelSummary[]> {
    const rows = await this.present().orderBy('name').orderBy('version').execute();
    const byName = groupByName(rows);
    return [...byName].map(([name, versions]) => ({
      name,
      versions: versions.length,
      latest: cardOf(versions.at(-1) as ModelRow),
      production: versions.find(({ stage }) => stage === 'production')?.version ?? null,
    }));
  }

  /** Newest first. @throws AIOT_NOT_FOUND */
  async versions(name: string): Promise<ModelVersion[]> {
    const rows = await this.present().where('name', '=', name).orderBy('version', 'desc').execute();
    if (rows.length > 0) return rows.map(cardOf);
    throw new AiotError('AIOT_NOT_FOUND', `no model is named ${name}`, { next: 'aiot model list' });
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
      .where('name', '=', name)
      .where('version', '=', version)
      .executeTakeFirst();
    if (row) return row;
    throw new AiotError('AIOT_NOT_FOUND', `there is no ${name}@${version}`, { next: 'aiot model list' });
  }

  private present() {
    return this.store.selectFrom('models').selectAll().where('removed', 'is', null);
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

function groupByName(rows: ModelRow[]): Map<string, ModelRow[]> {
  const groups = new Map<string, ModelRow[]>();
  for (const row of rows) groups.set(row.name, [...(groups.get(row.name) ?? []), row]);
  return groups;
}
