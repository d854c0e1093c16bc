import { setImmediate as turn } from 'node:timers/promises';
import type { SampleBatch } from '../../sensor/index.js';
import type { ModelKeeper } from '../model-types.js';
import type { Answer, Outputs, Sensing } from '../types.js';
import { createVote, type LoopVote } from '../vote/index.js';
import { ballotOf } from './ballot.js';
import { within } from './ending.js';
import { createPredicting, type Predicted } from './predicting.js';
import type { Tally } from './tally.js';

/** Longest time without a look at timers, signals and sockets, ms: samples that are there already would keep them all waiting. */
const longestTurnMs = 20;

/** Answers after which a replay waits for its outputs: they hold ten times as many in memory, and then throw the oldest away. */
const mostAhead = 1000;
/** Sensors give no thousand answers within this time, ms; and no output is waited for any longer. */
const hurryMs = 5000;

/** What looks on: a recorder, a teacher, a screen. It must not throw, and must not take long. */
export interface LoopTap {
  /** Samples as they come, in the project's fields and rate. */
  samples?(batch: SampleBatch): void;
  answer?(answer: Answer): void;
}

export interface EngineOptions {
  sensing: Sensing;
  keeper: ModelKeeper;
  outputs: Outputs;
  /** Instead of the model's own. */
  vote: string | undefined;
  holdMs: number;
  tally: Tally;
  taps: readonly LoopTap[];
  /** Wall clock, ms since 1970. */
  now: () => number;
}

/**
 * Takes samples until there are no more: windows, answers, votes, outputs. Nothing in here waits for anything but samples, save a replay
 * that is faster than its outputs.
 * @throws what the sensor throws; AIOT_MODEL_UNFIT, AIOT_USAGE (a vote that is none)
 */
export async function runEngine(options: EngineOptions): Promise<void> {
  const { sensing, keeper, outputs, tally, taps, now } = options;
  const fields = sensing.fields.length;
  const predicting = createPredicting(keeper, sensing);
  const voting = createVoting(options);
  const sample = new Float64Array(fields);
  let turned = performance.now();
  const pace = { given: 0, since: turned };
  for await (const batch of sensing) {
    const arrived = performance.now();
    tally.lastSampleAt = now();
    if (batch.lost > 0) {
      predicting.reset();
      voting.reset();
    }
    for (const tap of taps) tap.samples?.(batch);
    for (let i = 0; i < batch.count; i++) {
      for (let f = 0; f < fields; f++) sample[f] = batch.values[i * fields + f]!;
      const predicted = predicting.push(sample);
      if (!predicted) continue;
      const answer: Answer = {
        ...voting.answer(predicted, batch.times[i]!, tally.windows),
        latencyMs: performance.now() - arrived,
      };
      // A tie says nothing, and nothing is sent of it.
      if (answer.voted !== null || answer.label === null) {
        outputs.put(answer);
        pace.given++;
      }
      sensing.reply?.(answer);
      tally.answered(answer, performance.now() - arrived);
      for (const tap of taps) tap.answer?.(answer);
    }
    if (pace.given >= mostAhead) await catchUp(outputs, pace);
    if (performance.now() - turned < longestTurnMs) continue;
    await turn();
    turned = performance.now();
  }
}

async function catchUp(outputs: Outputs, pace: { given: number; since: number }): Promise<void> {
  if (performance.now() - pace.since < hurryMs) await within(hurryMs, outputs.settled());
  pace.given = 0;
  pace.since = performance.now();
}

/** The vote over the answers of whichever model there is. */
function createVoting({ vote: asked, holdMs }: Pick<EngineOptions, 'vote' | 'holdMs'>) {
  let vote: LoopVote | null = null;
  let rule = '';
  let last: string | null = null;
  return {
    reset: () => vote?.reset(),
    answer({ prediction, model }: Predicted, t: number, window: number): Omit<Answer, 'latencyMs'> {
      const { info, name, version } = model;
      // A model of other classes, or with another rule: what its predecessor said counts no more.
      const own = `${asked ?? info.vote} ${info.classes.join('\n')}`;
      if (vote === null || rule !== own) vote = createVote(asked ?? info.vote, holdMs);
      rule = own;
      const ballot = ballotOf(info, prediction, t);
      const voted = ballot && vote.push(ballot);
      const changed = ballot === null || (voted !== null && voted !== last);
      if (voted !== null) last = voted;
      const { label, scores, value } = prediction;
      return { t, window, label, voted, scores, value, changed, model: { name, version } };
    },
  };
}
