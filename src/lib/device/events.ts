import * as z from 'zod';
import { detectionsText, extraText, plural } from '../core/figures.js';
import { shellWord } from '../core/text.js';
import { inferenceSchema, reportedSchema } from './protocol/messages.js';

const at = { device: z.string(), t: z.int() };

/** Events from a virtual device; `aiot device simulate --json` prints each as a line. */
export const deviceEventSchema = z.discriminatedUnion('event', [
  /** The device read its flash. `model`: the active model. */
  z.object({ event: z.literal('booted'), ...at, model: reportedSchema.shape.model }),
  z.object({ event: z.literal('online'), ...at }),
  z.object({ event: z.literal('offline'), ...at }),
  /** The state of an update, as the device reported it. */
  z.object({ event: z.literal('reported'), ...at, reported: reportedSchema }),
  z.object({ event: z.literal('command'), ...at, command: z.string(), ok: z.boolean() }),
  z.object({ event: z.literal('inference'), ...at, inference: inferenceSchema }),
  /** A line of the device's log, such as a warning about an invalid message. */
  z.object({
    event: z.literal('log'),
    ...at,
    level: z.string(),
    message: z.string(),
    code: z.string().optional(),
  }),
  /** A recording was sent and acknowledged. */
  z.object({
    event: z.literal('sent'),
    ...at,
    recording: z.string(),
    /** Number of samples read. They were sent only if there are messages. */
    samples: z.int(),
    /** Number of telemetry messages sent; 0 with --predict. */
    messages: z.int(),
    /** Number of predictions sent. */
    inferences: z.int(),
    seconds: z.number(),
  }),
  /** The flash failed, so the device does nothing until its next boot. */
  z.object({ event: z.literal('died'), ...at, message: z.string() }),
  z.object({ event: z.literal('stopped'), ...at }),
]);

export type DeviceEvent = z.output<typeof deviceEventSchema>;

/** An event without the members common to all events. */
export type DeviceNews = DeviceEvent extends infer E
  ? E extends DeviceEvent
    ? Omit<E, 'device' | 't'>
    : never
  : never;

/** Formats an event as one line for people, without the time. */
export function describeEvent(event: DeviceEvent): string {
  switch (event.event) {
    case 'booted': {
      const { model, device } = event;
      return model
        ? `booted with ${model.name}@${model.version}`
        : `booted without a model; to give it one, run aiot model deploy MODEL --selector ${shellWord(device)}`;
    }
    case 'online':
      return 'online';
    case 'offline':
      return 'offline';
    case 'reported': {
      const { state, model, download, golden, error } = event.reported;
      const parts = [
        model ? `runs ${model.name}@${model.version}` : 'runs no model',
        ...(state === 'DOWNLOADING' && download ? [`${download.bytes} of ${download.total} bytes`] : []),
        ...(golden
          ? [`${golden.passed} of ${golden.vectors} test vectors give the same results on the device`]
          : []),
        ...(error ? [`${error.code}: ${error.message}`] : []),
      ];
      return `${state}  ${parts.join(', ')}`;
    }
    case 'command':
      return `command ${event.command}: ${event.ok ? 'done' : 'rejected'}`;
    case 'inference': {
      const { window, label, voted, scores, value, detections, extra, latencyMs } = event.inference;
      const others = extra ? `${extraText(extra)}, ` : '';
      if (detections) return `window ${window}: ${detectionsText(detections)}, ${latencyMs.toFixed(2)} ms`;
      if (label === null || value !== null) {
        const said = label === null ? '' : `${label}, smoothed ${voted}, `;
        return `window ${window}: ${said}${scores.map(short).join(' ')}, ${others}${latencyMs.toFixed(2)} ms`;
      }
      const best = Math.max(...scores);
      return `window ${window}: ${label} (${(best * 100).toFixed(0)} %), smoothed ${voted}, ${others}${latencyMs.toFixed(2)} ms`;
    }
    case 'log':
      return `${event.level}: ${event.message}`;
    case 'sent': {
      const { recording, samples, messages, inferences, seconds } = event;
      const sent = [
        ...(messages > 0 ? [`${plural(samples, 'sample')} in ${plural(messages, 'message')}`] : []),
        ...(inferences > 0 ? [plural(inferences, 'prediction')] : []),
      ];
      // With `--predict`, the samples stay on the device.
      const from = messages > 0 ? '' : ` from ${plural(samples, 'sample')}`;
      return `sent ${recording}: ${sent.join(' and ') || 'no messages'}${from} in ${seconds.toFixed(1)} s`;
    }
    case 'died':
      return `stopped with an error: ${event.message}`;
    case 'stopped':
      return 'stopped';
  }
}

const short = (value: number) => String(Number(value.toPrecision(4)));
