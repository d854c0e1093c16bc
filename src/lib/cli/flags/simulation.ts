import { Flags, type Interfaces } from '@oclif/core';
import { AiotError } from '../../core/errors.js';
import { motorStates } from '../../data/motor.js';
import { parseClock, parseLatency, parseShare } from '../../device/fleet/network.js';
import {
  describeFleetEvent,
  type FleetOptions,
  simulateFleet,
  usualTemplate,
} from '../../device/fleet/simulate.js';
import { simulateBoardAtGuide } from '../../device/guide/at-platform.js';
import { describeGuideEvent, guideRoles } from '../../device/guide/simulate.js';
import { describeKitEvent, simulateKit } from '../../device/kit.js';
import { parseSpeed } from '../../device/telemetry/sensor.js';
import { startFaultNames } from '../../flash/rom/control.js';
import { type SimulatedChipName, simulatedChipNames } from '../../flash/rom/identity.js';
import { describeChipEvent, type SimulateChipOptions, simulateChip } from '../../flash/rom/simulate.js';
import { shared } from './shared.js';

type SimulationFlags = Interfaces.InferredFlags<
  typeof chipFlags & typeof fleetSimulationFlags & typeof kitFlags & typeof sensorFlags
> & { seed: number; for?: number | undefined; context?: string | undefined };

/** Shows one event; `text` is for people, without the time. */
export type Tell = (event: object, at: number, text: () => string) => void;

/** Whatever is simulated that is no device with an identity: a chip, a board of a kit, a fleet. Null = nothing of these. */
export function otherSimulation(
  dir: string | undefined,
  flags: SimulationFlags,
  signal: AbortSignal,
  tell: Tell,
  onBuild: () => void,
): Promise<void> | null {
  const teller =
    <E extends { t: number }>(describe: (event: E) => string) =>
    (event: E) =>
      tell(event, event.t, () => describe(event));
  if (flags.serial) {
    const onEvent: Parameters<typeof simulateChip>[0]['onEvent'] = (event) =>
      tell(event, Date.now(), () => describeChipEvent(event));
    return simulateChip({ ...simulatedChip(dir, flags), signal, onEvent });
  }
  const { board, to, count, rate: rateHz, for: forMs, seed, context, motor, role, native, program } = flags;
  const common = { count, rateHz, forMs, seed, signal };
  if (board === 'iot-kit') {
    if (native)
      throw new AiotError('AIOT_USAGE', '--native: a board of the IoT kit has no program of its own', {
        next: 'Leave --native out, or be a board of architects-guide.',
      });
    const onEvent = teller(describeKitEvent);
    return simulateKit({ ...common, to: to ?? 'mqtt://127.0.0.1:1883', onEvent });
  }
  if (board) {
    const onEvent = teller(describeGuideEvent);
    const id = flags['chip-id'] ?? '1';
    const own = { native, program, onBuild };
    return simulateBoardAtGuide({ ...common, id, role, to, context, motor, onEvent, ...own });
  }
  if (count === undefined || flags.native || dir !== undefined) return null;
  return simulateFleet({ ...simulatedFleet(flags), signal, onEvent: teller(describeFleetEvent) });
}

/** Flags of a virtual device: what its sensor sees, and what it makes of that. */
export const sensorFlags = {
  recording: Flags.string({
    summary: 'CSV file to replay.',
    env: 'AIOT_RECORDING',
    helpValue: 'FILE',
    exclusive: ['motor'],
  }),
  motor: Flags.option({ options: motorStates })({
    summary: 'Watch a simulated motor in this state.',
    env: 'AIOT_MOTOR',
  }),
  rate: Flags.integer({
    summary: 'Samples a second [default: 100, a motor 200]; of a board, readings [default: one in 1.5 s].',
    min: 1,
    max: 100_000,
    env: 'AIOT_RATE',
    helpValue: 'HZ',
  }),
  stream: Flags.string({
    summary: "Telemetry stream [default: the template's].",
    env: 'AIOT_STREAM',
    helpValue: 'NAME',
  }),
  speed: Flags.custom<number | 'max'>({ parse: async (text) => parseSpeed(text) })({
    summary: '1 = as it was recorded, max = as fast as the broker takes it.',
    default: 1,
    env: 'AIOT_SPEED',
    helpValue: 'FACTOR',
  }),
  predict: Flags.boolean({
    summary: "Send the model's answers instead of the samples.",
    env: 'AIOT_PREDICT',
  }),
  loop: Flags.boolean({
    summary: 'Begin the recording again when it ends.',
    env: 'AIOT_LOOP',
    // Not dependsOn: the usage line would then show --recording as if it needed --loop.
    relationships: [{ type: 'all', flags: ['recording'] }],
  }),
  native: Flags.boolean({
    summary: 'Devices, and boards of architects-guide, are the firmware’s core, a process each.',
    env: 'AIOT_NATIVE',
    exclusive: ['serial'],
  }),
  program: Flags.string({
    summary: 'Program of native devices, such as aiot firmware build makes [default: aiot’s own].',
    env: 'AIOT_PROGRAM',
    helpValue: 'FILE',
    relationships: [{ type: 'all', flags: ['native'] }],
  }),
};

/** Flags of a simulated board of a kit, or of the guide's: at a broker, without an identity. */
export const kitFlags = {
  board: Flags.option({ options: ['iot-kit', 'architects-guide'] as const })({
    summary: 'Be a board of this kind, in its own topics and payloads.',
    env: 'AIOT_BOARD',
    exclusive: ['serial', 'recording'],
  }),
  to: Flags.string({
    summary: "Broker of the board [default: mqtt://127.0.0.1:1883; of architects-guide, the platform's].",
    env: 'AIOT_TO',
    helpValue: 'URL',
  }),
  'chip-id': { ...shared['chip-id'], summary: 'Of architects-guide: its decimal chip id [default: 1].' },
  role: Flags.option({ options: guideRoles })({
    summary: 'Of architects-guide: read sensors and act, or judge the readings of others.',
    default: 'level-1',
    env: 'AIOT_ROLE',
  }),
  count: Flags.integer({
    char: 'n',
    summary:
      'So many simulated devices, each with a connection of its own; with --native, processes; with --board, readings before it ends.',
    min: 1,
    env: 'AIOT_COUNT',
  }),
};

const boots = ['download', 'uart', 'run'] as const;

// Not dependsOn: the usage line would then show each as if it alone needed --serial.
const onlyWithSerial = [{ type: 'all' as const, flags: ['serial'] }];

/** Flags of a simulated chip on a serial port. */
export const chipFlags = {
  serial: Flags.boolean({
    summary: 'A bare chip on a serial port instead: ROM, flash, boot text, faults. Takes no DIR.',
    env: 'AIOT_SERIAL',
    exclusive: ['recording', 'motor', 'predict', 'loop', 'stream', 'rate'],
  }),
  chip: Flags.option({ options: simulatedChipNames })({
    summary: 'Chip on that port [default: esp32].',
    env: 'AIOT_CHIP',
    relationships: onlyWithSerial,
  }),
  listen: Flags.string({
    summary: 'Where that port is: pty (by socat), socket://HOST:PORT, rfc2217://HOST:PORT [default: pty].',
    env: 'AIOT_LISTEN',
    helpValue: 'WHERE',
    relationships: onlyWithSerial,
  }),
  flash: Flags.string({
    summary: 'File that keeps its flash: read at the start, written at the end.',
    env: 'AIOT_FLASH',
    helpValue: 'FILE',
    relationships: onlyWithSerial,
  }),
  mac: Flags.string({
    summary: 'Its address [default: 24:0a:c4:00:01:10].',
    env: 'AIOT_MAC',
    helpValue: 'MAC',
    relationships: onlyWithSerial,
  }),
  boot: Flags.option({ options: boots })({
    summary: 'Boot pins at power-on: download until DTR or RTS are used, or run [default: download].',
    env: 'AIOT_BOOT',
    relationships: onlyWithSerial,
  }),
  fault: Flags.string({
    summary: `What is wrong; more than once for more. One of ${startFaultNames.join(', ')}; with numbers: "noise rate=0.001", "unplugged after=40".`,
    multiple: true,
    env: 'AIOT_FAULT',
    helpValue: 'FAULT',
    relationships: onlyWithSerial,
  }),
  control: Flags.integer({
    summary:
      'TCP port of a control channel (reset, boot, lines, fault, clear, plug, state); 0 = any free one.',
    min: 0,
    max: 65_535,
    env: 'AIOT_CONTROL',
    helpValue: 'PORT',
    relationships: onlyWithSerial,
  }),
};

interface ChipGiven {
  chip?: SimulatedChipName;
  listen?: string;
  flash?: string;
  mac?: string;
  boot?: (typeof boots)[number];
  fault?: string[];
  control?: number;
  for?: number;
}

/** The same as the library takes it. @throws AIOT_USAGE where a DIR is given too */
export function simulatedChip(
  dir: string | undefined,
  flags: ChipGiven,
): Omit<SimulateChipOptions, 'signal' | 'onEvent'> {
  if (dir !== undefined)
    throw new AiotError('AIOT_USAGE', `a bare chip has no identity: leave ${dir} out, or --serial`);
  const { chip = 'esp32', listen = 'pty', boot = 'download', fault: faults = [] } = flags;
  const { flash: flashFile, mac, control, for: forMs } = flags;
  return { chip, listen, boot, faults, flashFile, mac, control, forMs };
}

/** The DIR of a virtual device. @throws AIOT_USAGE without one */
export function requireDir(dir: string | undefined): string {
  if (dir !== undefined) return dir;
  throw new AiotError(
    'AIOT_USAGE',
    'missing DIR: the folder of the identity, as aiot device provision makes it',
    {
      next: 'Name it, or take --serial for a bare chip.',
    },
  );
}

/** Flags of a fleet of simulated devices: `--count` without `--native` and `--board`. */
export const fleetSimulationFlags = {
  type: Flags.string({
    summary: 'With --count alone: device type of the fleet.',
    default: 'virtual',
    env: 'AIOT_TYPE',
  }),
  template: Flags.string({
    char: 't',
    summary: 'Names and tags of the fleet: the number of each device stands for the #s.',
    default: usualTemplate,
    env: 'AIOT_TEMPLATE',
    helpValue: 'press-####,site=lab',
  }),
  mtls: Flags.string({
    summary: 'Of the fleet: who shows a certificate; the others have a secret each.',
    default: '0%',
    env: 'AIOT_MTLS',
    helpValue: 'SHARE',
  }),
  loss: Flags.string({
    summary: 'Of the messages: lost, and sent again a second later.',
    default: '0%',
    env: 'AIOT_LOSS',
    helpValue: 'SHARE',
  }),
  latency: Flags.string({
    summary: 'One way, for each message.',
    default: '0ms',
    env: 'AIOT_LATENCY',
    helpValue: '20..200ms',
  }),
  offline: Flags.string({
    summary: 'Of the fleet: away at any time; others each minute of its clock.',
    default: '0%',
    env: 'AIOT_OFFLINE',
    helpValue: 'SHARE',
  }),
  'fail-rate': Flags.string({
    summary: 'Of the fleet: fails the trial of whatever it is given.',
    default: '0%',
    env: 'AIOT_FAIL_RATE',
    helpValue: 'SHARE',
  }),
  faults: Flags.string({
    summary: 'JSON of what is wrong with which device: golden, download, silent, power, offline.',
    env: 'AIOT_FAULTS',
    helpValue: 'FILE',
  }),
  clock: Flags.string({
    summary: "How much faster the fleet's time goes: latency, minutes away, waits.",
    default: 'x1',
    env: 'AIOT_CLOCK',
    helpValue: 'x60',
  }),
  download: Flags.option({ options: ['once', 'all'] as const })({
    summary: 'Each blob comes over the wire once for all devices, or for each of them.',
    default: 'once',
    env: 'AIOT_DOWNLOAD',
  }),
  'clean-up': Flags.boolean({
    summary: 'Revoke and remove the devices of the fleet at the end.',
    env: 'AIOT_CLEAN_UP',
  }),
};

interface FleetGiven {
  count?: number;
  seed: number;
  type: string;
  template: string;
  mtls: string;
  loss: string;
  latency: string;
  offline: string;
  'fail-rate': string;
  faults?: string;
  clock: string;
  download: 'once' | 'all';
  'clean-up': boolean;
  context?: string;
  for?: number;
}

/** The same as the library takes it. @throws AIOT_USAGE */
function simulatedFleet(flags: FleetGiven): Omit<FleetOptions, 'signal' | 'onEvent'> {
  const { count = 1, seed, type, template, faults, download, context, for: forMs } = flags;
  const network = {
    seed,
    loss: parseShare('loss', flags.loss),
    latencyMs: parseLatency(flags.latency),
    offline: parseShare('offline', flags.offline),
    failRate: parseShare('fail-rate', flags['fail-rate']),
  };
  return {
    ...{ context, count, type, template, network, faults, download, forMs },
    clock: parseClock(flags.clock),
    mutual: parseShare('mtls', flags.mtls),
    cleanUp: flags['clean-up'],
  };
}
