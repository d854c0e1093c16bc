import { AiotError } from '../../core/errors.js';
import type { Prediction, Predictor } from '../../model/bundle/predictor.js';
import { featureNames } from '../../signal/spec.js';
import type { Delivery } from '../../stream/message.js';
import type { LoadedModel, ModelKeeper } from '../types.js';
import { follow } from './follow.js';
import { motionStream, subjects, windowSamples } from './layout.js';
import { openSender } from './sender.js';
import { type Stage, whenOpen } from './stage.js';
import { createWindows, decodeFrame } from './windows.js';

/**
 * Reads tables from `feats` and publishes the class of each on `predictions`. The model's inputs are found by column name, regardless of
 * the order of the columns.
 * @throws AIOT_MODEL_UNFIT: the model requires an input that no table has, or does not return a class
 */
export async function predictStage(stage: Stage, openModels: () => Promise<ModelKeeper>): Promise<void> {
  const { result } = stage;
  const keeper = await openModels();
  try {
    const answer = createAnswering(keeper);
    const sender = await openSender(stage, motionStream);
    const one = async (delivery: Delivery) => {
      const { payload, position, time } = delivery.message;
      result.taken++;
      const label = answer(payload);
      if (label === null) {
        result.refused++;
        stage.tell({
          kind: 'lost',
          count: 1,
          why: 'a message on feats gets no prediction: it is not a table of the features that the model expects',
        });
        return delivery.ack();
      }
      result.windows++;
      const id = `predictions-${position}-${time}`;
      const arrived = await sender.send([{ subject: subjects.predictions, payload: label, id }]);
      if (arrived) result.published++;
      if (arrived || !stage.signal.aborted) delivery.ack();
      if (arrived) stage.tell({ kind: 'label', label, t: time });
    };
    try {
      for await (const batch of follow(stage, motionStream, subjects.feats, whenOpen(stage, 1))) {
        await Promise.all(batch.map(one));
      }
    } finally {
      await sender.close();
    }
  } finally {
    await keeper.close();
  }
}

/**
 * @returns a function that returns the label for a message; null if the message is not a table, lacks a required column, or cannot be
 * predicted
 */
function createAnswering(keeper: ModelKeeper): (payload: Uint8Array) => string | null {
  let used: { model: LoadedModel; names: string[]; predictor: Predictor } | undefined;
  const ready = () => {
    const model = keeper.current();
    if (used?.model !== model) {
      used = { model, names: inputsOf(model), predictor: model.createPredictor() };
    }
    return used;
  };
  const tried = (columns: Map<string, number>): Prediction | null => {
    const { names, predictor } = ready();
    const features = names.map((name) => columns.get(name) ?? Number.NaN);
    return features.every(Number.isFinite) ? predictor.answer(features) : null;
  };
  ready();
  return (payload) => {
    const columns = decodeFrame(payload);
    if (!columns) return null;
    // After a failure, the second attempt uses the model to which the keeper has switched.
    for (let attempt = 0; attempt < 2; attempt++) {
      try {
        return tried(columns)?.label ?? null;
      } catch (error) {
        keeper.misbehaved(keeper.current(), error);
        used = undefined;
      }
    }
    return null;
  };
}

/** @throws AIOT_MODEL_UNFIT */
function inputsOf({ name, info }: LoadedModel): string[] {
  const names = featureNames(info.signal);
  const known = new Set(createWindows(windowSamples).names);
  const strange = names.filter((feature) => !known.has(feature));
  const unfit = (what: string) =>
    new AiotError('AIOT_MODEL_UNFIT', `${name} ${what}`, {
      next: 'The stage predict needs a model with the features `har`: see aiot.feats.yaml in templates/har-imu.',
    });
  if (strange.length > 0) {
    throw unfit(
      `expects ${strange.slice(0, 3).join(', ')}${strange.length > 3 ? ', …' : ''}, which messages on feats do not contain`,
    );
  }
  if (info.classes.length === 0) throw unfit('outputs values; expected a class');
  return names;
}
