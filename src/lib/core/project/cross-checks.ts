import type { Problem } from '../issues.js';
import type { ProjectConfig } from './schema.js';
import { show } from './show.js';

/** What one field alone cannot tell. @param given the file's values as they stand, without defaults */
export function crossChecks(config: ProjectConfig, given: unknown): Problem[] {
  return [
    ...checkStream(config, given),
    ...checkSignal(config),
    ...checkLabels(config),
    ...checkModel(config),
  ];
}

function checkStream({ stream }: ProjectConfig, given: unknown): Problem[] {
  const problems: Problem[] = [];
  const hasStream = given !== null && typeof given === 'object' && 'stream' in given;
  if (hasStream && Object.keys(stream.fields).length === 0) {
    problems.push({ path: ['stream', 'fields'], message: 'expected at least one field; got none' });
  }
  for (const [name, field] of Object.entries(stream.fields)) {
    if (field.range && field.range[0] >= field.range[1]) {
      const path = ['stream', 'fields', name, 'range'];
      problems.push({ path, message: `expected [low, high] with low < high; got ${show(field.range)}` });
    }
  }
  return problems;
}

function checkSignal({ signal }: ProjectConfig): Problem[] {
  const problems: Problem[] = [];
  const { rate, lowpass, resample = rate } = signal;
  if (lowpass !== undefined && lowpass >= rate / 2) {
    problems.push({
      path: ['signal', 'lowpass'],
      message: `expected below half the rate (${rate / 2} Hz); got ${lowpass}`,
    });
  }
  if (resample > rate) {
    problems.push({
      path: ['signal', 'resample'],
      message: `expected at most the rate (${rate} Hz); got ${resample}`,
    });
  }
  return problems;
}

function checkLabels({ model }: ProjectConfig): Problem[] {
  const problems: Problem[] = [];
  const owner = new Map<string, string>();
  for (const [name, labels] of Object.entries(model.labels)) {
    for (const label of labels) {
      const other = owner.get(label);
      if (other !== undefined) {
        problems.push({
          path: ['model', 'labels', name],
          message: `label "${label}" is already in class "${other}"`,
        });
      }
      owner.set(label, name);
    }
  }
  const count = Object.keys(model.labels).length;
  const path = ['model', 'labels'];
  if (model.kind === 'autoencoder' || model.output === 'value' || count === 0) return problems;
  if (model.output === 'probability' && count !== 2) {
    problems.push({
      path,
      message: `expected two classes for one probability (model.output), the second is the one it is of; got ${count}`,
    });
  } else if (count < 2) problems.push({ path, message: 'expected at least two classes' });
  return problems;
}

function checkModel({ model, signal }: ProjectConfig): Problem[] {
  const { kind, layers, train } = model;
  const problems: Problem[] = [];
  const path = ['model', 'layers'];
  const single = layers !== undefined && typeof layers[0] === 'object';
  if (kind === 'layers' && !single) {
    problems.push({
      path,
      message: 'expected layers one by one, such as [{ type: dense, units: 32 }], for model.kind layers',
    });
  }
  if (kind !== 'layers' && single) {
    problems.push({
      path,
      message: `expected numbers for model.kind ${kind}; layers one by one need model.kind: layers`,
    });
  }
  const { rotation, timeWarp, gain } = train.augment;
  if (signal.features !== 'raw' && rotation + timeWarp + gain > 0) {
    problems.push({
      path: ['model', 'train', 'augment'],
      message: `expected signal.features: raw for rotation, timeWarp and gain, which change raw windows; got ${show(signal.features)}`,
    });
  }
  return problems;
}
