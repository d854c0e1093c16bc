import { z } from 'zod';

const t = z.int();
const count = z.int().min(0);

/** How a fleet is: what `aiot device simulate --count` tells from time to time. */
const summary = {
  devices: count,
  online: count,
  /** Devices by the state of their update. */
  states: z.record(z.string(), count),
  /** Devices by what they run of each kind, `none` = no model, the firmware they came with, the usual configuration. */
  models: z.record(z.string(), count),
  firmware: z.record(z.string(), count),
  configs: z.record(z.string(), count),
  /** Messages either way since the start, and a second since the last summary. */
  messages: z.object({ sent: count, heard: count }),
  messagesPerSecond: z.number(),
  /** Blobs that came over the wire. */
  downloads: count,
  /** Of this process, MiB. */
  memoryMb: count,
};

export const fleetEventSchema = z.discriminatedUnion('event', [
  z.object({
    event: z.literal('enlisted'),
    t,
    devices: count,
    /** Of them new to the platform. */
    made: count,
    /** By a certificate, by a secret over TLS, by a secret at the plain listener. */
    mutual: count,
    tls: count,
    plain: count,
    seconds: z.number(),
  }),
  z.object({ event: z.literal('connected'), t, devices: count, refused: count, seconds: z.number() }),
  z.object({ event: z.literal('summary'), t, ...summary }),
  z.object({ event: z.literal('stopped'), t, ...summary, removed: count, seconds: z.number() }),
]);
export type FleetEvent = z.output<typeof fleetEventSchema>;

/** One line for a person, without the time. */
export function describeFleetEvent(event: FleetEvent): string {
  switch (event.event) {
    case 'enlisted': {
      const { devices, made, mutual, tls, plain, seconds } = event;
      const ways = [`${mutual} with a certificate`, `${tls} over TLS`, `${plain} plain`];
      return `${devices} devices, ${made} of them new: ${ways.join(', ')} (${seconds.toFixed(1)} s)`;
    }
    case 'connected': {
      const { devices, refused, seconds } = event;
      const told = refused > 0 ? `, ${refused} not yet` : '';
      return `${devices} connected${told} (${seconds.toFixed(1)} s)`;
    }
    case 'summary':
      return summaryText(event);
    case 'stopped':
      return `stopped after ${event.seconds.toFixed(1)} s: ${summaryText(event)}${event.removed > 0 ? `, ${event.removed} devices removed` : ''}`;
  }
}

type Summary = Extract<FleetEvent, { event: 'summary' | 'stopped' }>;

function summaryText(summary: Summary): string {
  const { online, devices, states, models, firmware, configs, messagesPerSecond, memoryMb } = summary;
  const counted = (counts: Record<string, number>) =>
    Object.entries(counts)
      .map(([what, many]) => `${many} ${what}`)
      .join(', ');
  /** Told of once one of them has something of it. */
  const besides = (what: string, counts: Record<string, number>) =>
    counts.none === devices ? '' : `; ${what} ${counted(counts)}`;
  const more = `${besides('firmware', firmware)}${besides('configuration', configs)}`;
  const flow = `${Math.round(messagesPerSecond)} messages/s, ${memoryMb} MiB`;
  return `${online} of ${devices} online; ${counted(states)}; runs ${counted(models)}${more}; ${flow}`;
}
