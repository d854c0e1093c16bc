import { randomUUID } from 'node:crypto';
import { AiotError, type Clock } from '../../core/index.js';
import { replySchema, topicOf } from '../../device/index.js';
import type { DeviceCommand, DeviceReply } from '../../registry/index.js';
import type { Broker } from '../broker/broker.js';
import type { Devices } from './devices.js';
import type { LiveHub } from './live-hub.js';

/** How long a device may take to answer, ms: after that it is to ignore the command. */
const patienceMs = 10_000;

interface Parts {
  broker: Broker;
  devices: Devices;
  live: LiveHub;
  now: Clock['now'];
}

/**
 * Sends a command to a device and waits for its answer.
 * @throws AIOT_NOT_FOUND, AIOT_DEVICE_OFFLINE, AIOT_COMMAND_FAILED for a refusal, or where no answer comes
 */
export async function commandDevice(
  { broker, devices, live, now }: Parts,
  device: string,
  command: DeviceCommand,
): Promise<DeviceReply> {
  devices.record(device);
  if (!devices.online(device)) {
    throw new AiotError('AIOT_DEVICE_OFFLINE', `${device} has no connection to the platform`);
  }
  const id = randomUUID();
  const began = now();
  let resolve: (payload: unknown) => void = () => {};
  const answered = new Promise<unknown>((done) => {
    resolve = done;
  });
  const end = live.listen(device, ({ channel, payload }) => {
    if (channel === 'reply' && payload.id === id) resolve(payload);
  });
  const timer = setTimeout(() => resolve(null), patienceMs);
  try {
    // Who listens begins behind what is there: the command is sent once that is so.
    await live.ready();
    const payload = Buffer.from(JSON.stringify({ id, command, expires: began + patienceMs }));
    await broker.publish({ topic: topicOf(device, 'command'), payload });
    const answer = replySchema.safeParse(await answered);
    if (!answer.success) {
      throw new AiotError(
        'AIOT_COMMAND_FAILED',
        `${device} did not answer ${command} within ${patienceMs / 1000} s`,
      );
    }
    const { ok, error, result } = answer.data;
    if (!ok)
      throw new AiotError('AIOT_COMMAND_FAILED', `${device}: ${error?.code ?? ''} ${error?.message ?? ''}`);
    return { device, command, result, ms: now() - began };
  } finally {
    clearTimeout(timer);
    end();
  }
}
