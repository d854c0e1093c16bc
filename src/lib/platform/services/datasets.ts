import { AiotError } from '../../core/index.js';
import type { DatasetInfo, DatasetListing } from '../../registry/index.js';
import type { Catalogue } from '../journal/catalogue.js';
import { csvOf } from '../journal/csv.js';
import type { Journal } from '../journal/journal.js';
import { missingIn } from '../journal/takes.js';
import type { Labels } from './labels.js';

/** Recorded telemetry as datasets: one a stream. */
export interface Datasets {
  list(): Promise<DatasetInfo[]>;
  /** @throws AIOT_NOT_FOUND */
  get(stream: string): Promise<DatasetListing>;
  /** Lines of CSV. @throws AIOT_NOT_FOUND */
  csv(stream: string, device: string, recording: string): AsyncGenerator<string>;
}

export function datasetsOf(catalogue: Catalogue, journal: Journal, labels: Labels): Datasets {
  const find = (stream: string) => {
    const found = catalogue.stream(stream);
    if (found) return found;
    throw new AiotError('AIOT_NOT_FOUND', `nothing was recorded in the stream ${stream}`, {
      next: "aiot stream tail 'aiot:///aiot/v1/+/telemetry/#' shows what arrives.",
    });
  };
  return {
    async list() {
      const infos: DatasetInfo[] = [];
      for (const [name, { takes }] of catalogue.streams()) {
        const given = await labels.ofStream(name);
        const counts: Record<string, number> = {};
        for (const key of Object.keys(takes)) {
          const label = given.get(key);
          if (label !== undefined) counts[label] = (counts[label] ?? 0) + 1;
        }
        const all = Object.values(takes);
        const samples = all.reduce((sum, take) => sum + take.samples, 0);
        infos.push({ name, recordings: all.length, samples, labels: counts });
      }
      return infos;
    },
    async get(name) {
      const { fields, takes } = find(name);
      const given = await labels.ofStream(name);
      const recordings = Object.entries(takes).map(([key, take]) => ({
        id: take.recording,
        device: take.device,
        label: given.get(key) ?? null,
        rateHz: take.rateHz,
        samples: take.samples,
        startedAt: take.startedAt,
        duplicates: take.duplicates,
        missing: missingIn(take),
      }));
      return { name, fields: [...fields], recordings };
    },
    csv(stream, device, recording) {
      const { fields, takes } = find(stream);
      const take = Object.hasOwn(takes, `${device}/${recording}`) && takes[`${device}/${recording}`];
      if (take) return csvOf(journal, [...fields], take);
      throw new AiotError('AIOT_NOT_FOUND', `${device} has no recording ${recording} in ${stream}`, {
        next: `GET /api/v1/datasets/${stream} lists those that are there.`,
      });
    },
  };
}
