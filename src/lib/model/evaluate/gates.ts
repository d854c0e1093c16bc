import { AiotError, bytesOf, type ProjectConfig } from '../../core/index.js';
import type { Gate } from './types.js';

/** The limits of model.accept against the figures; a limit that is not set is no gate. */
export function gatesOf(
  accept: ProjectConfig['model']['accept'],
  figures: { floatMacroF1: number; int8MacroF1: number; arenaBytes: number },
): Gate[] {
  const gates: Gate[] = [];
  const drop = figures.floatMacroF1 - figures.int8MacroF1;
  if (accept.macroF1 !== undefined) {
    const got = figures.int8MacroF1;
    gates.push({ name: 'macroF1', limit: accept.macroF1, got, passed: got >= accept.macroF1 });
  }
  if (accept.drop !== undefined) {
    gates.push({ name: 'drop', limit: accept.drop, got: drop, passed: drop <= accept.drop });
  }
  if (accept.arena !== undefined) {
    const limit = bytesOf(accept.arena);
    gates.push({ name: 'arena', limit, got: figures.arenaBytes, passed: figures.arenaBytes <= limit });
  }
  return gates;
}

/** One sentence a gate, with its figures. */
export function gateText({ name, limit, got }: Gate): string {
  if (name === 'arena') return `arena: expected at most ${limit} bytes, got ${got}`;
  if (name === 'drop')
    return `drop from float to int8: expected at most ${limit} of macro-F1, got ${round(got)}`;
  return `macro-F1 (int8, by window): expected at least ${limit}, got ${round(got)}`;
}

/** Null when all gates let the model through; otherwise all that do not, in one error. */
export function gateError(gates: Gate[]): AiotError | null {
  const failed = gates.filter(({ passed }) => !passed);
  if (failed.length === 0) return null;
  const advice = failed.map(({ name }) => remedies[name]).join(' ');
  return new AiotError('AIOT_GATE_FAILED', failed.map(gateText).join('; '), {
    next: `${advice} Then train again; change model.accept only on purpose.`,
  });
}

/** What helps against each refusal. */
const remedies: Record<Gate['name'], string> = {
  macroF1: 'Record more or better labelled data.',
  drop: 'Record training data that covers what devices will meet: the ranges of int8 are taken from it.',
  arena: 'Use fewer or smaller model.layers, or a shorter signal.window.',
};

function round(value: number): string {
  return value.toFixed(4);
}
