import { setTimeout as delay } from 'node:timers/promises';
import type { MqttClient } from 'mqtt';
import type { Logger } from 'pino';
import { type DeviceChannel, deviceChannels, topicOf } from '../../device/protocol/codec.js';
import { connectBroker, disconnectBroker } from '../../stream/mqtt/connect.js';
import type { Devices } from '../devices/devices.js';
import type { Worker } from '../workers.js';

interface Parts {
  /** mqtt(s)://HOST:PORT with the credentials of a client that may use `$CONTROL/dynamic-security/#`. */
  url: string;
  devices: Pick<Devices, 'records' | 'hasCertificate'>;
  log: Logger;
}

/** The functions of Mosquitto's dynamic security plugin that the platform uses. */
export interface DynamicSecurity {
  /** Removes a device's rights and closes its connections, or only closes them. Resolves when Mosquitto has confirmed. */
  remove(device: string): Promise<void>;
  disconnect(device: string): Promise<void>;
  /** Grants rights to exactly the devices that may connect with a certificate, and follows their changes. */
  worker: Worker;
  close(): Promise<void>;
}

/** Topics of the plugin (mosquitto_ctrl_dynsec(1); requests and responses are JSON). A response goes only to the client that asked. */
const requests = '$CONTROL/dynamic-security/v1';
const responses = `${requests}/response`;

/** Prefix of the roles that the platform creates, one for each device. Other roles, and clients without such a role, are left alone. */
const rolePrefix = 'aiot-device-';

/** Intervals at which the devices are compared with the last known clients of Mosquitto, and with a new list from Mosquitto, ms. */
const lookMs = 500;
const listMs = 600_000;

const answerMs = 30_000;

/** Number of devices in one request. Mosquitto rewrites its whole file for each command, and other requests wait meanwhile. */
const together = 20;

type Command = { command: string } & Record<string, unknown>;

interface Response {
  command: string;
  error?: string;
  data?: unknown;
}

/** Connects to Mosquitto, and reconnects whenever the connection is lost. @throws AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED */
export async function openDynamicSecurity({ url, devices, log }: Parts): Promise<DynamicSecurity> {
  const client = await connectBroker(url);
  await client.subscribeAsync(responses, { qos: 1 });
  const ask = asker(client);
  /** Names of the devices that have rights at Mosquitto; undefined = not known yet. */
  let known: Set<string> | undefined;
  let listed = 0;

  const remove = async (names: readonly string[]) => {
    const answers = await ask(
      names.flatMap((name) => [
        { command: 'deleteClient', username: name },
        { command: 'deleteRole', rolename: rolePrefix + name },
      ]),
    );
    // Another replica may have removed the client.
    expectDone(answers, /not found/i);
    for (const name of names) known?.delete(name);
  };
  const add = async (names: readonly string[]) => {
    const roles = await ask(names.map(roleOf));
    expectDone(roles, /already exists/i);
    const clients = await ask(
      names.map((name) => ({
        command: 'createClient',
        username: name,
        roles: [{ rolename: rolePrefix + name }],
      })),
    );
    const taken = names.filter((_, i) => clients[i]?.error !== undefined);
    for (const name of names) known?.add(name);
    if (taken.length === 0) return;
    log.error(
      { devices: taken, errors: clients.flatMap(({ error }) => error ?? []) },
      'Mosquitto already has clients with the names of these devices; remove them with mosquitto_ctrl',
    );
    for (const name of taken) known?.delete(name);
    await ask(taken.map((name) => ({ command: 'deleteRole', rolename: rolePrefix + name })));
  };
  const list = async () => {
    // A client that was deleted would otherwise still receive messages for its session's subscriptions.
    const acls = Object.entries(closed).map(([acltype, allow]) => ({ acltype, allow }));
    const [set, answer] = await ask([
      { command: 'setDefaultACLAccess', acls },
      { command: 'listRoles', verbose: false, count: -1, offset: 0 },
    ]);
    expectDone([set, answer].filter((one) => one !== undefined));
    const { roles = [] } = (answer?.data ?? {}) as { roles?: string[] };
    known = new Set(
      roles.filter((role) => role.startsWith(rolePrefix)).map((role) => role.slice(rolePrefix.length)),
    );
    listed = performance.now();
  };
  const compare = async () => {
    if (known === undefined || performance.now() - listed > listMs) await list();
    const wanted = new Set<string>();
    for (const { name } of devices.records()) if (devices.hasCertificate(name)) wanted.add(name);
    const excess = [...(known ?? [])].filter((name) => !wanted.has(name));
    for (const names of chunks(excess)) await remove(names);
    // Read again, because a device may have been suspended meanwhile.
    const missing = [...wanted].filter((name) => !known?.has(name) && devices.hasCertificate(name));
    for (const names of chunks(missing)) await add(names.filter((name) => devices.hasCertificate(name)));
  };
  return {
    remove: (device) => remove([device]),
    async disconnect(device) {
      // Only disabling closes connections; the device may reconnect at once.
      const answers = await ask([
        { command: 'disableClient', username: device },
        { command: 'enableClient', username: device },
      ]);
      expectDone(answers, /not found/i);
    },
    worker: {
      name: 'mosquitto',
      async run(signal) {
        known = undefined;
        while (!signal.aborted) {
          await compare();
          await delay(lookMs, undefined, { signal }).catch(() => {});
        }
      },
    },
    close: () => disconnectBroker(client),
  };
}

/** Rights of clients without a role. */
const closed = {
  publishClientSend: false,
  publishClientReceive: false,
  subscribe: false,
  unsubscribe: true,
} as const;

function chunks(names: readonly string[]): string[][] {
  return Array.from({ length: Math.ceil(names.length / together) }, (_, i) =>
    names.slice(i * together, (i + 1) * together),
  );
}

/** The role of a device: it may publish on its own channels, and receives messages on the platform's. */
function roleOf(name: string): Command {
  const acls = (Object.keys(deviceChannels) as DeviceChannel[]).flatMap((channel) => {
    const topic = topicOf(name, channel, channel === 'telemetry' ? '+' : undefined);
    const types =
      deviceChannels[channel] === 'device'
        ? ['publishClientSend']
        : ['publishClientReceive', 'subscribeLiteral'];
    return types.map((acltype) => ({ acltype, topic, priority: 0, allow: true }));
  });
  return { command: 'createRole', rolename: rolePrefix + name, acls };
}

function expectDone(answers: readonly Response[], allowed?: RegExp): void {
  const failed = answers.find(({ error }) => error !== undefined && !allowed?.test(error));
  if (failed) throw new Error(`Mosquitto: ${failed.command}: ${failed.error}`);
}

/** Sends one request at a time. All responses to a request arrive in one message. */
function asker(client: MqttClient): (commands: readonly Command[]) => Promise<Response[]> {
  let turn: Promise<unknown> = Promise.resolve();
  let count = 0;
  const ask = async (commands: readonly Command[]) => {
    const id = String(++count);
    const answered = new Promise<Response[]>((resolve, reject) => {
      const timer = setTimeout(
        () => end(() => reject(new Error('Mosquitto: no response from the dynamic security plugin'))),
        answerMs,
      );
      const hear = (topic: string, payload: Buffer) => {
        if (topic !== responses) return;
        const { responses: all = [] } = JSON.parse(payload.toString('utf8')) as {
          responses?: (Response & { correlationData?: string })[];
        };
        if (all[0]?.correlationData === id) end(() => resolve(all));
      };
      const end = (settle: () => void) => {
        clearTimeout(timer);
        client.off('message', hear);
        settle();
      };
      client.on('message', hear);
    });
    const body = { commands: commands.map((command) => ({ ...command, correlationData: id })) };
    const [all] = await Promise.all([
      answered,
      client.publishAsync(requests, JSON.stringify(body), { qos: 1 }),
    ]);
    return all;
  };
  return (commands) => {
    if (commands.length === 0) return Promise.resolve([]);
    const asked = turn.then(() => ask(commands));
    turn = asked.catch(() => {});
    return asked;
  };
}
