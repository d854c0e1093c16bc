import { hostname } from 'node:os';
import { join } from 'node:path';
import { AiotError } from '../../core/errors.js';
import { bytesOf, plural } from '../../core/figures.js';
import type { Project } from '../../core/project.js';
import { systemClock } from '../../core/time.js';
import type { StageEvent, StageName, StageResult } from '../har/layout.js';
import { loopFolder } from '../operate/state.js';
import type { SensingContract } from '../sense/types.js';
import { limitOf, sleepLong } from './ending.js';
import { baseOf, modelOptions, sensorOf } from './open.js';
import { type LoopOptions, realParts } from './options.js';

/** Runs one of the motion system's four parts in place of one of the original's containers. @throws the errors of `runStage` */
export async function runLoopStage(options: LoopOptions, project: Project): Promise<StageResult> {
  const { stage = 'sense', clock = systemClock, stream = {}, onEvent, simulate } = options;
  const over = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, over.signal]) : over.signal;
  const limitMs = limitOf(options, clock.now());
  if (limitMs !== null) void sleepLong(clock, limitMs, signal).then(() => over.abort());
  const parts = { ...realParts, ...options.parts };
  const { runStage } = await import('../har/run-stage.js');
  const { signal: samples, stream: contract } = project.config;
  const sensor = sensorOf(options, project);
  const fields = Object.entries(contract.fields).map(([name, { unit }]) => ({ name, unit }));
  const tell = (text: string) => onEvent?.(text);
  const others = requireUse(options, stage);
  const work = runStage({
    stage,
    env: process.env,
    urls: [...(options.out ?? []), ...(sensor === undefined ? [] : [sensor])],
    credentials: stream,
    openSensing: async () =>
      await parts.sensing({
        sensor,
        contract: fields.length > 0 ? { fields, rateHz: samples.rate } : withoutProject,
        simulate: simulate ? { project } : undefined,
        stream,
        onEvent: ({ text }) => tell(text),
        patient: true,
        baseFolder: await baseOf(options, project),
        ...{ clock, signal },
      }),
    openModels: () => parts.models(modelOptions({ ...options, signal }, project, tell)),
    ...(others.length === 0
      ? {}
      : {
          openOutputs: () =>
            parts.outputs({
              ...{ clock, urls: others, send: options.send ?? project.config.loop.send },
              spoolFolder: join(loopFolder(options.name ?? project.config.name), 'spool'),
              spoolLimit: bytesOf(project.config.loop.spool),
              device: hostname(),
              streamOptions: stream,
              onEvent: tell,
            }),
        }),
    ...(samples.features === 'har' && samples.lowpass !== undefined ? { lowpassHz: samples.lowpass } : {}),
    ...{ clock, signal },
    onEvent: (event) => {
      const text = stageEventText(event);
      if (text) tell(text);
    },
  });
  // Stops the timer, which would otherwise keep the process alive.
  return await work.finally(() => over.abort());
}

/** Fields of the motion system's sensor, if no project defines them. */
const withoutProject: SensingContract = {
  fields: ['x', 'y', 'z'].map((name) => ({ name, unit: 'g' })),
  rateHz: 100,
};

/** @returns the addresses other than NATS addresses; only the stage `output` can use them @throws AIOT_LOOP_STAGE */
function requireUse({ out = [], sensor }: LoopOptions, stage: StageName): string[] {
  const isNats = (url: string) => /^natss?:/i.test(url);
  const others = out.filter((url) => !isNats(url));
  if (stage !== 'output' && others.length > 0) {
    throw new AiotError(
      'AIOT_LOOP_STAGE',
      `the stage ${stage} publishes only to NATS: expected --out nats://HOST:4222`,
      { next: 'To send labels elsewhere, use the stage output.' },
    );
  }
  if (stage !== 'sense' && sensor !== undefined && !isNats(sensor)) {
    throw new AiotError(
      'AIOT_LOOP_STAGE',
      `the stage ${stage} reads only from NATS: expected --sensor nats://HOST:4222`,
      { next: 'To read sensors, use the stage sense.' },
    );
  }
  return others;
}

function stageEventText(event: StageEvent): string | null {
  switch (event.kind) {
    case 'ready':
      return `${event.endpoint}: running`;
    case 'away':
      return `${event.what} is offline${event.why ? `: ${event.why}` : ''}; retrying`;
    case 'back':
      return `${event.what} is available again`;
    case 'lost':
      return `${plural(event.count, 'sample')} or messages not used: ${event.why}`;
    case 'label':
      return event.voted === undefined ? event.label : `${event.label}, smoothed ${event.voted ?? 'open'}`;
    case 'window':
      return null;
  }
}
