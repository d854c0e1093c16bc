import { AiotError, type Project } from '../../core/index.js';
import type { BundleInfo } from '../../model/index.js';

/** What a loop has to offer a model and expects of it. */
export interface Contract {
  /** Who says so, for errors. */
  who: string;
  /** In their order; null = anything. */
  fields: readonly string[] | null;
  rateHz: number;
  /** Names, in any order; null = anything. */
  classes: readonly string[] | null;
}

/** As aiot.yaml says. Classes count where it groups labels, and the model answers with as many. */
export function contractOfProject({ config, file }: Project): Contract {
  const names = Object.keys(config.model.labels);
  const told = names.length > 0 && config.model.output !== 'value' && config.model.kind !== 'autoencoder';
  const fields = Object.keys(config.stream.fields);
  return {
    who: file,
    fields: fields.length > 0 ? fields : null,
    rateHz: config.signal.rate,
    classes: told ? names : null,
  };
}

/** Where there is no project: what the first model asked for holds for those after it. */
export function contractOfModel({ name, signal, classes }: BundleInfo): Contract {
  return { who: `the first ${name}`, fields: signal.fields, rateHz: signal.rateHz, classes };
}

/**
 * Whether a model takes what the stream gives, and answers with what is expected. Its window, stride and features are its own.
 * @throws AIOT_MODEL_UNFIT
 */
export function requireContract(info: BundleInfo, contract: Contract, what: string): void {
  const { who, fields, rateHz, classes } = contract;
  const refuse = (of: string, wanted: string, got: string) => {
    throw new AiotError('AIOT_MODEL_UNFIT', `${what}: ${of}: expected ${wanted} as ${who} has, got ${got}`, {
      next: 'Start the loop with the project that this model was trained with, or promote a version of this one.',
    });
  };
  if (fields && info.signal.fields.join() !== fields.join()) {
    refuse('fields', fields.join(', '), info.signal.fields.join(', '));
  }
  if (fields && info.signal.rateHz !== rateHz) refuse('rate', `${rateHz} Hz`, `${info.signal.rateHz} Hz`);
  if (classes === null) return;
  const [wanted, got] = [[...classes].sort(), [...info.classes].sort()];
  if (wanted.join('\n') !== got.join('\n')) {
    refuse('classes', wanted.join(', ') || 'none', got.join(', ') || 'none');
  }
}
