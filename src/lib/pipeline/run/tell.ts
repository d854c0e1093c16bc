import { open } from 'node:fs/promises';
import type { ChosenContext } from '../../core/index.js';
import type { RegistryClient, ToldRun, ToldStep } from '../../registry/index.js';
import type { PipelineFolders } from '../folders.js';
import type { PipelinePlan } from '../plan/types.js';
import type { RunRecord, StepRecord } from './record.js';
import { placesOf } from './run-step.js';

/** How often a run that goes on is told, changed or not, ms: a log grows meanwhile, and one that tells nothing is taken for dead. */
const everyMs = 2000;
const silentMs = 25_000;
/** How long the end waits for the platform to hear of it, ms. */
const endMs = 3000;
const logBytes = 8000;
/** Results of one step, and of all, in bytes of JSON: a body is a mebibyte at most. */
const [resultBytes, allBytes] = [64_000, 500_000];

/**
 * Tells the platform of a context how a run goes. It is never waited for while the run goes on, and keeps nothing from going on: what
 * the platform did not hear is told with the next change, and one that knows no such runs is told no more.
 */
export function createTeller(
  context: ChosenContext | null,
  record: RunRecord,
  { plan, folders }: { plan: PipelinePlan; folders: PipelineFolders },
) {
  if (context === null || context.kind !== 'platform') return { changed() {}, async end() {} };
  const about = new Map(plan.steps.map((step) => [step.name, step]));
  let client: Promise<RegistryClient> | undefined;
  let telling: Promise<void> | undefined;
  let dirty = false;
  let deaf = false;
  let last = { text: '', at: 0 };

  async function tell(): Promise<void> {
    const { clientFor } = await import('../../registry/index.js');
    client ??= clientFor(context?.name);
    while (dirty && !deaf) {
      dirty = false;
      const told = await toldRun(structuredClone(record), about, folders);
      const text = JSON.stringify(told);
      if (text === last.text && performance.now() - last.at < silentMs) continue;
      await (await client).runs.tell(record.project, record.run, told);
      last = { text, at: performance.now() };
    }
  }
  const changed = () => {
    dirty = true;
    if (deaf) return;
    telling ??= tell()
      .catch((error: { retryable?: boolean }) => {
        deaf = error.retryable !== true;
      })
      .finally(() => {
        telling = undefined;
      });
  };
  const timer = setInterval(changed, everyMs);
  timer.unref();
  return {
    changed,
    /** The last word, where the platform takes it in time. */
    async end(): Promise<void> {
      clearInterval(timer);
      let patience: NodeJS.Timeout | undefined;
      const enough = new Promise<void>((resolve) => {
        patience = setTimeout(resolve, endMs);
      });
      const lastWord = async () => {
        await telling;
        changed();
        await telling;
      };
      await Promise.race([lastWord(), enough]);
      clearTimeout(patience);
      await client?.then((own) => own.close()).catch(() => {});
    },
  };
}

async function toldRun(
  { state, cause, who, started, ended, seconds, aiot, engine, model, run, steps }: RunRecord,
  about: ReadonlyMap<string, PipelinePlan['steps'][number]>,
  folders: PipelineFolders,
): Promise<ToldRun> {
  let left = allBytes;
  const told: ToldStep[] = [];
  for (const step of steps) {
    const bytes = Buffer.byteLength(JSON.stringify(step.result ?? null));
    const fits = bytes <= resultBytes && bytes <= left;
    if (fits) left -= bytes;
    const log = step.started === null ? '' : await tailOf(placesOf(folders, run, step.name).log);
    told.push({ ...toldStep(step, about.get(step.name)), result: fits ? (step.result ?? null) : null, log });
  }
  const reason = { kind: cause.kind, text: cause.text.slice(0, 2000) };
  return { state, cause: reason, who, started, ended, seconds, aiot, engine, model, steps: told };
}

function toldStep(
  step: StepRecord,
  plan: PipelinePlan['steps'][number] | undefined,
): Omit<ToldStep, 'result' | 'log'> {
  const { name, state, cached, seconds, attempts, exit, peakBytes, reason, error } = step;
  const { started, ended, key, inputs, outputs } = step;
  return {
    ...{ name, state, cached, seconds, attempts, exit, peakBytes, started, ended, key, inputs },
    about: plan?.about.slice(0, 500) ?? '',
    needs: plan?.needs ?? [],
    gate: plan?.gate?.slice(0, 500) ?? null,
    conditional: (plan?.when.length ?? 0) > 0,
    reason: reason?.slice(0, 2000) ?? null,
    error: error && { ...error, message: error.message.slice(0, 2000) },
    outputs: Object.fromEntries(
      Object.entries(outputs).map(([of, { digest, bytes }]) => [of, { digest, bytes }]),
    ),
  };
}

/** The end of a log, from the beginning of a line; empty where there is none. */
async function tailOf(path: string): Promise<string> {
  const file = await open(path, 'r').catch(() => null);
  if (file === null) return '';
  try {
    const { size } = await file.stat();
    const from = Math.max(0, size - logBytes);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size - from), 0, size - from, from);
    const text = buffer.toString('utf8', 0, bytesRead);
    return (from === 0 ? text : text.slice(text.indexOf('\n') + 1)).slice(-8000);
  } finally {
    await file.close();
  }
}
