const root = 'aiot/v1';

/** The channels below a device's own prefix, and who publishes on them. */
export const deviceChannels = {
  telemetry: 'device',
  inference: 'device',
  reported: 'device',
  presence: 'device',
  reply: 'device',
  log: 'device',
  desired: 'platform',
  command: 'platform',
} as const;
export type DeviceChannel = keyof typeof deviceChannels;

/** `aiot/v1/{device}/{channel}`; telemetry adds the stream's name. */
export function topicOf(device: string, channel: DeviceChannel, stream?: string): string {
  return stream === undefined ? `${root}/${device}/${channel}` : `${root}/${device}/${channel}/${stream}`;
}

export interface TopicParts {
  device: string;
  channel: DeviceChannel;
  /** Set for telemetry only. */
  stream?: string;
}

/** Whether it is below the protocol's prefix: only there is a topic of the protocol. */
export function isProtocolTopic(topic: string): boolean {
  return topic.startsWith(`${root}/`);
}

/** The parts of a protocol topic, or null for any other topic. */
export function parseTopic(topic: string): TopicParts | null {
  const [a, b, device, channel, stream, ...rest] = topic.split('/');
  if (`${a}/${b}` !== root || !device || !channel || rest.length > 0) return null;
  if (!Object.hasOwn(deviceChannels, channel)) return null;
  if (stream === '' || (channel === 'telemetry') !== (stream !== undefined)) return null;
  return { device, channel: channel as DeviceChannel, ...(stream ? { stream } : {}) };
}
