import { encodeFrame } from './frame.js';
import { axesInlet, recordsInlet, type Sample } from './inlet.js';
import { motionStream, subjects, windowSamples } from './layout.js';
import { openSender } from './sender.js';
import type { Stage } from './stage.js';
import { createWindows } from './windows.js';

/**
 * Samples → windows of 500 → the 115 features, as a table on `feats`. A window that is not full waits for the rest, over pauses of up to
 * 30 s and over restarts: its samples are acknowledged when its features have arrived, and not before.
 */
export async function extractStage(
  stage: Stage,
  { lowpassHz = null, samples = windowSamples }: { lowpassHz?: number | null; samples?: number },
): Promise<void> {
  const { server, result } = stage;
  const sender = await openSender(stage, motionStream);
  const windows = createWindows(samples, lowpassHz);
  let held: Sample[] = [];
  const settle = (done: readonly Sample[]) => {
    for (const { ack } of done) ack();
  };
  const take = (sample: Sample) => {
    if (!windows.continues(sample.time)) {
      stage.tell({ kind: 'lost', count: held.length, why: 'a pause came before their window was full' });
      result.lost += held.length;
      settle(held);
      held = [];
      windows.reset();
    }
    result.taken++;
    held.push(sample);
    const features = windows.push(sample.values, sample.time);
    if (features === null) return;
    const full = held;
    held = [];
    const window = result.windows++;
    const message = { subject: subjects.feats, payload: encodeFrame(windows.names, features) };
    void sender.send([{ ...message, id: `feats-${full[0]!.sequence}` }]).then((arrived) => {
      if (arrived) result.published++;
      // Not at the end, where nobody knows: whoever comes next begins with the same samples.
      if (arrived || !stage.signal.aborted) settle(full);
      if (arrived) stage.tell({ kind: 'window', window, t: sample.time });
    });
  };
  try {
    await (server.subject === '' ? axesInlet(stage, take) : recordsInlet(stage, take));
  } finally {
    await sender.close();
  }
}
