import type { Delivery } from '../../stream/index.js';
import { openAnnouncer } from './announce.js';
import { follow } from './follow.js';
import { openLabels } from './labels.js';
import { motionStream, subjects } from './layout.js';
import { openSender } from './sender.js';
import { type Stage, whenOpen } from './stage.js';
import type { StageOptions } from './types.js';
import { voteLabel } from './vote.js';

/** Which model it was, nobody says on that subject. */
const fromPredictions = { name: subjects.predictions, version: null };
/** Longest label: what is longer is no class's name. */
const longest = 64;

/**
 * Labels on `predictions` → their majority on `output`, the last ones in Redis, a word to Telegram when it changes, and wherever else it is
 * to go. @throws what opening Redis, Telegram and the others throws
 */
export async function outputStage(
  stage: Stage,
  { env, openOutputs }: Pick<StageOptions, 'env' | 'openOutputs'>,
): Promise<void> {
  const { result } = stage;
  const announcer = await openAnnouncer(stage, env);
  const labels = await openLabels(stage, env);
  const outputs = await openOutputs?.();
  const sender = await openSender(stage, motionStream);
  const one = async (delivery: Delivery) => {
    const { payload, position, time } = delivery.message;
    const label = labelOf(payload);
    result.taken++;
    if (label === undefined) {
      result.refused++;
      stage.tell({ kind: 'lost', count: 1, why: 'a message on predictions is no label' });
      return delivery.ack();
    }
    const { state, winner, changed } = voteLabel(labels.state, label);
    labels.put(state);
    if (changed && winner !== null) announcer.announce(winner);
    outputs?.put({
      ...{ t: time, window: result.windows++, label, voted: winner, changed },
      ...{ scores: [], value: null, latencyMs: stage.clock.now() - time, model: fromPredictions },
    });
    let arrived = true;
    if (winner !== null) {
      const id = `output-${position}-${time}`;
      arrived = await sender.send([{ subject: subjects.output, payload: winner, id }]);
      if (arrived) result.published++;
    }
    // Voted on, it has had its effect: it is not to come again.
    delivery.ack();
    stage.tell({ kind: 'label', label, voted: winner, t: time });
  };
  try {
    for await (const batch of follow(stage, motionStream, subjects.predictions, whenOpen(stage, 1))) {
      await Promise.all(batch.map(one));
    }
  } finally {
    await sender.close();
    await labels.close();
    await announcer.close();
    await outputs?.close();
  }
}

/** A bare class name; boards end their texts with a NUL, people with a line. */
function labelOf(payload: Uint8Array): string | undefined {
  const text = Buffer.from(payload)
    .toString('utf8')
    .replace(/[\0\s]+$/, '')
    .trimStart();
  return text !== '' && text.length <= longest && /^[\p{L}\p{N} _.:-]+$/u.test(text) ? text : undefined;
}
