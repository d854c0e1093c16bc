import { AiotError } from '../../core/index.js';
import type { BundleInfo, NetworkInfo } from '../../model/index.js';
import type { ModelSummary, ModelVersion, Stage } from '../../registry/index.js';
import type { Store } from '../store/database.js';
import type { Schema } from '../store/schema.js';

type Row = Omit<Schema['models'], 'stage' | 'removed'> & { stage: string; removed: number | null };

/** The versions that are there, as cards made from their bundle.json. */
export class ModelCards {
  constructor(protected readonly store: Store) {}

  async list(): Promise<ModelSummary[]> {
    const rows = await this.present().orderBy('name').orderBy('version').execute();
    const byName = groupByName(rows);
    return [...byName].map(([name, versions]) => ({
      name,
      versions: versions.length,
      latest: cardOf(versions.at(-1) as Row),
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

  async info(name: string, version: number): Promise<BundleInfo | NetworkInfo> {
    return infoOf(await this.row(name, version));
  }

  private async row(name: string, version: number): Promise<Row> {
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

function infoOf(row: Row): BundleInfo | NetworkInfo {
  return JSON.parse(row.info) as BundleInfo | NetworkInfo;
}

function cardOf(row: Row): ModelVersion {
  const info = infoOf(row);
  const { name, version, sequence, digest, bytes, pushed } = row;
  return {
    name,
    version,
    sequence,
    digest,
    bytes,
    pushed,
    stage: row.stage as Stage,
    kind: info.kind,
    mode: info.quantization.mode,
    ...knownOf(info),
  };
}

function knownOf(info: BundleInfo | NetworkInfo) {
  if (info.kind === 'network') {
    return { answer: null, classes: [], arenaBytes: null, metrics: null, gates: [], lineage: null };
  }
  const { answer, classes, arenaBytes, metrics, gates, lineage } = info;
  return { answer: { ...answer }, classes, arenaBytes, metrics, gates, lineage: { ...lineage } };
}

function groupByName(rows: Row[]): Map<string, Row[]> {
  const groups = new Map<string, Row[]>();
  for (const row of rows) groups.set(row.name, [...(groups.get(row.name) ?? []), row]);
  return groups;
}
