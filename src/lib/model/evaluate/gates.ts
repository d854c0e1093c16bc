import { AiotError } from '../../core/errors.js';
import { bytesOf, decimalOf, gateValues } from '../../core/figures.js';
import type { ProjectConfig, RejectConfig } from '../../core/project-schema.js';
import { nearest } from '../../core/text.js';
import type { RejectSpec } from '../bundle/types.js';
import type { EvaluateResult } from './result.js';

/** One limit, from model.accept or --gate, and whether the model meets it. */
export interface Gate {
  name: GateName;
  limit: number;
  /** Null if it could not be measured. */
  got: number | null;
  passed: boolean;
}

/** build/evaluation.json: the metrics of one quantized model on data that was never used for training. */
export interface EvaluationFile extends EvaluateResult {
  spec: 'aiot-evaluation/2';
  /** The smoothing used to compute `voted`. */
  vote: string;
  /** The settings in model.reject and the resulting thresholds; null without rejection. */
  reject?: { asked: RejectConfig; rule: RejectSpec } | null | undefined;
  /** The costs in model.costs: [true class × predicted class], row-major; absent without costs. */
  costs?: number[] | undefined;
}

/** Metrics that can be limited, whether higher is better, and how to fix a failure. */
const gateRows = {
  accuracy: { atLeast: true, remedy: 'Record more or better labeled data.' },
  macroF1: { atLeast: true, remedy: 'Record more or better labeled data.' },
  auc: { atLeast: true, remedy: 'Record more or better labeled data.' },
  r2: { atLeast: true, remedy: 'Record more data, over the whole range of the value.' },
  mae: { atLeast: false, remedy: 'Record more data, over the whole range of the value.' },
  rmse: { atLeast: false, remedy: 'Record more data, over the whole range of the value.' },
  calibrationError: {
    atLeast: false,
    remedy: 'Train for fewer epochs: too many make a model overconfident.',
  },
  drop: {
    atLeast: false,
    remedy:
      'Record training data that covers the conditions of the devices: the quantization ranges are taken from it.',
  },
  arena: { atLeast: false, remedy: 'Use fewer or smaller model.layers, or a shorter signal.window.' },
  macs: { atLeast: false, remedy: 'Use fewer or smaller model.layers, or a shorter signal.window.' },
  bytes: { atLeast: false, remedy: 'Use fewer or smaller model.layers, or quantize to int8.' },
} as const satisfies Record<string, { atLeast: boolean; remedy: string }>;

export type GateName = keyof typeof gateRows;

export const gateNames = Object.keys(gateRows) as [GateName, ...GateName[]];

export interface Limit {
  name: GateName;
  limit: number;
}

const inBytes = (name: GateName) => name === 'arena' || name === 'bytes';

/** `macroF1=0.95`, `arena=32KiB` → limits. @throws AIOT_USAGE */
export function parseLimits(texts: readonly string[]): Limit[] {
  return texts.map((text) => {
    const [, name = '', value = ''] = /^([^=<>]*)=(.*)$/.exec(text) ?? [];
    if (!isGateName(name)) {
      const near = nearest(name, gateNames);
      const hint = near ? `. Did you mean ${near}=${value || '…'}?` : '';
      throw new AiotError(
        'AIOT_USAGE',
        `--gate: expected METRIC=LIMIT such as macroF1=0.95, got "${text}"${hint}`,
        { next: `Use one of the metrics ${gateNames.join(', ')}.` },
      );
    }
    const sized = inBytes(name) && /^\d+ ?(B|KiB|MiB)$/.test(value) ? bytesOf(value) : decimalOf(value);
    if (Number.isFinite(sized)) return { name, limit: sized };
    const wanted = inBytes(name) ? 'bytes, or a size such as 32KiB' : 'a number';
    throw new AiotError('AIOT_USAGE', `--gate ${name}: expected ${wanted}, got "${value}"`);
  });
}

/** The limits in model.accept for a model, without unset ones. The drift limit is omitted, because it applies to the data. */
export function limitsOf({ drift: _, ...accept }: ProjectConfig['model']['accept']): Limit[] {
  return (Object.keys(accept) as (keyof typeof accept)[]).flatMap((name) => {
    const limit = accept[name];
    return limit === undefined ? [] : [{ name, limit: bytesOf(limit) }];
  });
}

/** Checks limits against metrics; a metric that was not measured fails its limit. */
export function gatesFrom(
  limits: readonly Limit[],
  figures: Partial<Record<GateName, number | null>>,
): Gate[] {
  return limits.map(({ name, limit }) => {
    const got = figures[name] ?? null;
    const passed = got !== null && (gateRows[name].atLeast ? got >= limit : got <= limit);
    return { name, limit, got, passed };
  });
}

const titles: Partial<Record<GateName, string>> = {
  macroF1: 'macro-F1',
  auc: 'AUC',
  r2: 'R²',
  calibrationError: 'calibration error',
  drop: 'drop of macro-F1 from float to quantized',
};

/** One sentence per gate, with its numbers. */
export function gateText(gate: Gate): string {
  const { limit, got } = gateValues(gate);
  const most = gateRows[gate.name].atLeast ? 'at least' : 'at most';
  return `${titles[gate.name] ?? gate.name}: expected ${most} ${limit}, got ${got ?? 'none measured'}`;
}

/** Returns null if all gates pass, otherwise a single error that lists all failures. */
export function gateError(gates: readonly Gate[]): AiotError | null {
  const failed = gates.filter(({ passed }) => !passed);
  if (failed.length === 0) return null;
  const advice = [...new Set(failed.map(({ name }) => gateRows[name].remedy))].join(' ');
  return new AiotError('AIOT_GATE_FAILED', failed.map(gateText).join('; '), {
    next: `${advice} Then train again. Change a limit only if the limit itself is wrong.`,
  });
}

export function isGateName(name: string): name is GateName {
  return Object.hasOwn(gateRows, name);
}
