import { join } from 'node:path';
import { AiotError } from '../../core/errors.js';
import type { Project } from '../../core/project.js';
import type { ProjectConfig } from '../../core/project-schema.js';
import { signalSpecOf } from '../../signal/spec.js';
import { openDataset } from '../dataset/open.js';
import { datasetSummary } from '../dataset/summary.js';
import { splitDataset } from '../split.js';
import type { Finding, Split } from '../types.js';
import { checkDeclared } from '../units.js';
import { checkDataset, sortFindings } from './check.js';
import { rangesOf } from './recordings.js';
import { type CheckReport, splitCounts } from './report.js';
import { checkTables } from './tables.js';

/** Unit of each field that the project declares. */
function unitsOf({ stream }: ProjectConfig): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(stream.fields).map(([name, { unit }]) => [name, unit]));
}

/** Opens, splits and checks a project's recordings, or its table. Data that cannot be split is a finding too. */
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
  const findings = sortFindings([
    ...unfit,
    ...checkDataset(dataset, signalSpecOf(config), split, {
      ranges: rangesOf(config),
      labels: config.model.labels,
      finds: config.model.kind === 'fomo',
    }),
    ...checkDeclared(dataset, unitsOf(config)),
  ]);
  const { samples, recordings, digest } = datasetSummary(dataset);
  const pictures = config.signal.features === 'image';
  return {
    of: 'project',
    digest,
    recordings: recordings.length,
    samples,
    rateHz: pictures ? null : dataset.rateHz,
    rateFrom: pictures ? null : 'told',
    timeColumn: null,
    labelFrom: null,
    split: split ? splitCounts(split) : null,
    findings,
    ok: findings.every(({ severity }) => severity !== 'error'),
  };
}
