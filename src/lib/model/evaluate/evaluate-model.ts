import { stat } from 'node:fs/promises';
import { z } from 'zod';
import { AiotError, decimalOf, refuseInputs, writeFileAtomic } from '../../core/index.js';
import { openModelProject } from '../material.js';
import { fileEvaluationPage } from '../report/file-page.js';
import { writeReport } from '../report/write-report.js';
import { evaluateFile } from './evaluate-file.js';
import { evaluateProject } from './evaluate-project.js';
import { fileEvaluationSchema } from './file-result.js';
import { parseLimits } from './gates.js';
import type { OutputKind } from './output-kind.js';
import type { Runtime } from './predict.js';
import { evaluateResultSchema } from './result.js';

export const evaluationSchema = z.union([fileEvaluationSchema, evaluateResultSchema]);
export type Evaluation = z.output<typeof evaluationSchema>;

/** What `model evaluate` was asked, as text. */
export interface EvaluationRequest {
  file?: string;
  project: string;
  data?: string;
  label?: string;
  runtime?: Runtime;
  output?: OutputKind;
  classes?: string;
  threshold?: string;
  gates?: readonly string[];
  outputs?: string;
  integers?: boolean;
  report?: string;
  signal?: AbortSignal;
}

/** Options that speak of a file alone. */
const ofFiles = ['output', 'classes', 'threshold', 'outputs'] as const;

/**
 * Measures a file over a table, or the project's network on its held-out part.
 * @throws AIOT_USAGE where the options contradict each other, AIOT_FILE_IS_INPUT, and what evaluateFile and evaluateProject throw
 */
export async function evaluateModel(request: EvaluationRequest): Promise<Evaluation> {
  const limits = parseLimits(request.gates ?? []);
  return request.file === undefined
    ? await ofProject(request, limits)
    : await ofFile(request, request.file, limits);
}

async function ofFile(
  { data, threshold, classes, report, ...rest }: EvaluationRequest,
  file: string,
  limits: ReturnType<typeof parseLimits>,
): Promise<Evaluation> {
  if (data === undefined)
    throw usage(`which rows is ${file} to be measured on?`, `aiot model evaluate ${file} --data rows.csv`);
  if ((await stat(data).catch(() => null))?.isDirectory())
    throw usage(
      `--data ${data} is a folder: a file is measured on the rows of a CSV file`,
      `aiot data features makes one, or measure the project: aiot model evaluate --data ${data}`,
    );
  const from = threshold === undefined ? undefined : decimalOf(threshold);
  if (from !== undefined && !Number.isFinite(from))
    throw usage(`--threshold: expected a number, got "${threshold}"`);
  await refuseInputs([rest.outputs, report], [file, data]);
  const result = await evaluateFile({
    ...rest,
    file,
    data,
    runtime: rest.runtime ?? 'litert',
    threshold: from,
    classes: classes?.split(','),
    limits,
  });
  if (report !== undefined) await writeFileAtomic(report, fileEvaluationPage(result));
  return result;
}

async function ofProject(
  request: EvaluationRequest,
  limits: ReturnType<typeof parseLimits>,
): Promise<Evaluation> {
  const misplaced = ofFiles.find((name) => request[name] !== undefined);
  if (misplaced !== undefined)
    throw usage(
      `--${misplaced} goes with a file, and none is given`,
      `aiot model evaluate FILE.tflite --data rows.csv --${misplaced} …`,
    );
  const project = await openModelProject(request.project, request.data);
  const { data, label, runtime, signal } = request;
  const result = await evaluateProject({ project, data, label, runtime, limits, signal });
  if (request.report) await writeReport({ file: request.report, project });
  return result;
}

function usage(message: string, next?: string): AiotError {
  return new AiotError('AIOT_USAGE', message, next === undefined ? {} : { next });
}
