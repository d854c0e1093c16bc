import { mkdtemp, rm } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { AiotError } from '../../core/errors.js';
import { bytesOf } from '../../core/figures.js';
import type { Project } from '../../core/project.js';
import { systemClock } from '../../core/time.js';
import type { Source } from '../../stream/message.js';
import { openSource } from '../../stream/open.js';
import { processorNamed } from '../../stream/route/processors.js';
import type { Processor } from '../../stream/route/types.js';
import type { Sensing } from '../types.js';
import { untilEnd } from './ending.js';
import { outputsOf, sensorOf } from './open.js';
import { type LoopOptions, realParts } from './options.js';
import type { LoopResult } from './result.js';
import type { Around } from './run.js';
import { createHistogram, rssMb } from './tally.js';

/** Interval after which an unchanged face is sent again if only changes are sent. */
const again = '1h';

/**
 * Runs a loop for pictures: passes each frame of a camera through a processor (`loop.through`) and sends the results to the outputs. Frames
 * that arrive while another is being processed are skipped and counted as lost. The summary counts frames as samples and windows, and faces
 * as predictions.
 * @throws AIOT_USAGE (no camera), AIOT_CAMERA_FAILED, AIOT_CAMERA_FFMPEG, AIOT_STREAM_URL, and the errors of opening outputs
 */
export async function runPictures(
  options: LoopOptions,
  project: Project,
  { running, tally, tell, monitor, limitMs }: Around,
): Promise<LoopResult> {
  const { clock = systemClock, signal, stream = {} } = options;
  const { loop } = project.config;
  const send = options.send ?? loop.send;
  const through = loop.through ?? 'faces';
  const drawn = options.simulate ? await mkdtemp(join(tmpdir(), 'aiot-drawn-')) : null;
  let processor: Processor | undefined;
  try {
    const url = sensorOf(options, project) ?? (drawn && (await drawInto(drawn)));
    if (url === null) throw noCamera();
    const settings = { every: send === 'change' ? again : '0s' };
    processor = await processorNamed(through)(settings, signal ? { signal } : {});
    const source = await openSource(at(url, project.dir), {
      ...stream,
      ...(signal ? { signal } : {}),
      onState: (state) =>
        tell(state === 'connected' ? 'the camera is available again' : 'the camera was disconnected'),
    });
    const camera = measured(source);
    running.sensing = camera.sensing;
    const outputs = await { ...realParts, ...options.parts }.messages({
      clock,
      urls: outputsOf(options, project, tell),
      send,
      spoolFolder: running.spool,
      spoolLimit: bytesOf(loop.spool),
      device: hostname(),
      onEvent: tell,
      streamOptions: stream,
    });
    running.outputs = { ...outputs, put: () => {} };
    options.onOpen?.({
      monitor,
      ...{ fields: [], rateHz: 1, classes: [], teacher: null },
      latencies: tally.latency.spread,
    });
    const look = async () => {
      for await (const deliveries of source) {
        for (const { message, ack } of deliveries) {
          const arrived = performance.now();
          tally.lastSampleAt = clock.now();
          camera.seen();
          try {
            const faces = await processor!.process(message);
            for (const face of faces) outputs.put({ ...face, time: message.time });
            tally.predictions += faces.length;
            tally.changes += faces.length;
          } catch (error) {
            tell(`a picture was skipped: ${(error as Error).message}`);
          }
          ack();
          tally.windows++;
          tally.latency.add(performance.now() - arrived);
        }
      }
    };
    const ended = await untilEnd(look(), () => source.close(), { limitMs, clock, signal });
    const memory = rssMb();
    await outputs.close();
    const { windows, predictions, changes, latency } = tally;
    return {
      ...{ ...camera.sensing.rates(), windows, predictions, changes },
      latencyMs: { p50: latency.percentile(0.5), p99: latency.percentile(0.99) },
      ...{ rssMb: memory, classes: {}, model: null, recorded: null, ended },
      outputs: outputs
        .states()
        .map(({ endpoint, sent, waiting, dropped }) => ({ endpoint, sent, waiting, dropped })),
    };
  } finally {
    await processor?.close?.();
    if (drawn) await rm(drawn, { recursive: true, force: true });
  }
}

async function drawInto(folder: string): Promise<string> {
  const { drawFaces } = await import('../../vision/faces.js');
  await drawFaces(folder);
  return `pictures://${folder}?fps=5&loop=true`;
}

/** Interprets the path of a folder of pictures relative to the project, unless the path begins with a slash. */
function at(url: string, folder: string): string {
  return url.replace(
    /^pictures:(?:\/\/)?(?!\/)([^?]+)/,
    (_, path: string) => `pictures://${join(folder, path)}`,
  );
}

function noCamera(): AiotError {
  return new AiotError('AIOT_USAGE', 'expected a camera, got none', {
    next: 'Specify one: --sensor camera:///dev/video0, or pictures://FOLDER. For simulated pictures, use --simulate.',
  });
}

/** Presents a source of frames as a sensor, with the number, rate and jitter of its frames. */
function measured(source: Source): { sensing: Sensing; seen: () => void } {
  let samples = 0;
  let first = 0;
  let last = 0;
  const jitter = createHistogram();
  const meanMs = () => (samples > 1 ? (last - first) / (samples - 1) : null);
  const rates = () => {
    const mean = meanMs();
    return {
      ...{ samples, lost: source.dropped, gaps: 0 },
      rateHz: mean ? Number((1000 / mean).toPrecision(4)) : null,
      jitterP99Ms: jitter.percentile(0.99),
    };
  };
  const sensing: Sensing = {
    endpoint: source.endpoint,
    ...{ fields: [], rateHz: 1, faults: { overruns: 0, retries: 0, reconnects: 0 }, rates },
    close: () => source.close(),
    async *[Symbol.asyncIterator]() {},
  };
  return {
    sensing,
    seen() {
      const now = performance.now();
      const mean = meanMs();
      if (samples === 0) first = now;
      else if (mean !== null) jitter.add(Math.abs(now - last - mean));
      last = now;
      samples++;
    },
  };
}
