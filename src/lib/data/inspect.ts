import { join } from 'node:path';
import { AiotError, nearest, type Project, type ProjectConfig } from '../core/index.js';
import { signalSpecOf } from '../signal/index.js';
import { checkDataset } from './check/check.js';
import type { CheckReport } from './check/report.js';
import { splitCounts } from './check/split-counts.js';
import { checkTables } from './check/table.js';
import type { Ranges } from './check/values.js';
import { openDataset } from './open.js';
import { splitDataset } from './split/split.js';
import { type DatasetSummary, datasetSummary, type RecordingDetail, recordingDetail } from './summary.js';
import type { Finding, Split } from './types.js';

/** Plausible values of each field that the project declares. */
export function rangesOf({ stream }: ProjectConfig): Ranges {
  const ranges: Ranges = {};
  for (const [name, { range }] of Object.entries(stream.fields)) if (range) ranges[name] = range;
  return ranges;
}

/** Opens, splits and checks a project's recordings, or its table. That they cannot be split is a finding too. */
export async function checkProject(project: Project, folder?: string): Promise<CheckReport> {
  const { config } = project;
  const { table } = config.model;
  if (table && folder === undefined) {
    const { file, ...shape } = table;
    return await checkTables([{ file: join(project.dir, file), part: null }], shape);
  }
  const dataset = await openDataset(project, folder);
  const unfit: Finding[] = [];
  let split: Split | undefined;
  try {
    split = splitDataset(dataset, config.model);
  } catch (error) {
    if (!(error instanceof AiotError)) throw error;
    const { message, next } = error;
    unfit.push({
      kind: 'label',
      severity: 'error',
      files: [],
      evidence: { code: error.code },
      message,
      advice: next,
    });
  }
  const findings = [
    ...unfit,
    ...checkDataset(dataset, signalSpecOf(config), split, {
      ranges: rangesOf(config),
      labels: config.model.labels,
    }),
  ];
  const { samples, recordings, digest } = datasetSummary(dataset);
  return {
    of: 'project',
    digest,
    recordings: recordings.length,
    samples,
    rateHz: dataset.rateHz,
    rateFrom: 'told',
    labelFrom: null,
    split: split ? splitCounts(split) : null,
    findings,
    ok: findings.every(({ severity }) => severity !== 'error'),
  };
}

/** What a project's recordings hold. */
export async function summarizeProject(project: Project, folder?: string): Promise<DatasetSummary> {
  return datasetSummary(await openDataset(project, folder));
}

/** One recording in figures. @throws AIOT_RECORDING_NOT_FOUND */
export async function showRecording(project: Project, id: string, folder?: string): Promise<RecordingDetail> {
  const dataset = await openDataset(project, folder);
  const recording = dataset.recordings.find((candidate) => candidate.id === id);
  if (recording) return recordingDetail(recording, signalSpecOf(project.config));
  const ids = dataset.recordings.map((candidate) => candidate.id);
  const close = nearest(id, ids);
  const some = `${ids.slice(0, 4).join(', ')}${ids.length > 4 ? ' …' : ''}`;
  throw new AiotError(
    'AIOT_RECORDING_NOT_FOUND',
    close === undefined ? `no recording ${id}; there are ${some}` : `no recording ${id}`,
    close === undefined ? {} : { next: `aiot data show ${close}` },
  );
}
