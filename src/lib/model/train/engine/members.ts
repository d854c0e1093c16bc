import { joinMembers } from '../../network/join-members.js';
import type { Engine, EngineState, Step } from './types.js';

/**
 * Several engines over networks of one shape with different first weights, as one: each learns from the same steps, and they answer
 * with the mean of their outputs. Chance then has less of a say in what comes of little data. The graph is one network
 * of them all (see `joinMembers`).
 * @param engines at least one; disposed with this one
 * @throws AIOT_MODEL_UNFIT for networks that cannot be joined
 */
export function membersEngine(engines: readonly Engine[]): Engine {
  const [first] = engines;
  if (!first) throw new RangeError('expected at least one engine');
  if (engines.length === 1) return first;
  const joined = () => joinMembers(engines.map((engine) => engine.graph()));
  // What cannot be joined is refused before anything is learned.
  joined();
  return {
    name: first.name,
    inputSize: first.inputSize,
    outputSize: first.outputSize,
    step(inputs, targets, weights, rows): Step {
      const steps = engines.map((engine) => engine.step(inputs, targets, weights, rows));
      const loss = steps.reduce((sum, step) => sum + step.loss, 0) / steps.length;
      return { loss, outputs: mean(steps.map(({ outputs }) => outputs)) };
    },
    forward: (inputs, rows) => mean(engines.map((engine) => engine.forward(inputs, rows))),
    save: () => joinStates(engines.map((engine) => engine.save())),
    load: (state) => {
      splitState(state, engines.length).forEach((own, i) => {
        engines[i]!.load(own);
      });
    },
    graph: joined,
    dispose: () => {
      for (const engine of engines) engine.dispose();
    },
  };
}

function mean(all: Float32Array[]): Float32Array {
  const out = new Float32Array(all[0]!.length);
  for (const one of all) for (let i = 0; i < out.length; i++) out[i] = out[i]! + one[i]! / all.length;
  return out;
}

/** The members' arrays one after the other. */
function joinStates(states: EngineState[]): EngineState {
  const joined = (part: Exclude<keyof EngineState, 'steps'>) => {
    const size = states[0]![part].length;
    const out = new Float32Array(size * states.length);
    states.forEach((state, i) => {
      out.set(state[part], i * size);
    });
    return out;
  };
  return {
    steps: states[0]!.steps,
    values: joined('values'),
    first: joined('first'),
    second: joined('second'),
    statistics: joined('statistics'),
  };
}

/** A state of another number of members gives parts of a length that their engines refuse. */
function splitState(state: EngineState, count: number): EngineState[] {
  return Array.from({ length: count }, (_, i) => {
    const own = (values: Float32Array) =>
      values.slice((i * values.length) / count, ((i + 1) * values.length) / count);
    return {
      steps: state.steps,
      values: own(state.values),
      first: own(state.first),
      second: own(state.second),
      statistics: own(state.statistics),
    };
  });
}
