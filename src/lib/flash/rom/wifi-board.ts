import { AiotError } from '../../core/errors.js';
import {
  decodeTexts,
  encodeImprov,
  type ImprovPacket,
  ImprovReader,
  improvCommands,
  improvError,
} from '../../formats/improv.js';
import type { ChipProgram, ProgramBoard } from './program.js';

/** A Wi-Fi network in the range of a simulated board. */
export interface SimulatedNetwork {
  ssid: string;
  /** Empty = an open network. */
  password: string;
  /** Whether a scan does not show it. */
  hidden: boolean;
}

/** Durations of a scan and of an attempt to join a network, ms. Real boards take seconds. */
const scanMs = 150;
const joinMs = 250;

/** Signal strength of the first network, dBm; each further one is weaker by the step. */
const strongestDbm = -48;
const stepDbm = 9;

/** Line that the firmware logs while it works, as boards do between two packets. */
const heartbeatMs = 100;

/**
 * Parses `NAME:PASSWORD` or `NAME`, the value of `network` and `hidden-network` in a simulated chip's address.
 * @throws AIOT_USAGE
 */
export function parseNetwork(text: string, hidden: boolean): SimulatedNetwork {
  const [, name = '', password = ''] = /^((?:\\.|[^:\\])*)(?::(.*))?$/s.exec(text) ?? [];
  const ssid = name.replace(/\\(.)/gs, '$1');
  if (ssid === '') {
    throw new AiotError('AIOT_USAGE', 'expected NAME:PASSWORD after network=, got no name');
  }
  return { ssid, password, hidden };
}

/**
 * Simulates the console of a board with our firmware. It answers Improv packets between its log lines, and joins the networks in its
 * range. If it cannot join a new network, it returns to its former one.
 */
export function wifiBoard(networks: readonly SimulatedNetwork[]): ChipProgram {
  return async (board) => {
    const service = new WifiBoard(board, networks);
    board.print(
      `I (240) main_task: Calling app_main()\r\nI (312) aiot: ready for Wi-Fi settings by Improv\r\n`,
    );
    board.onInput((bytes) => service.receive(bytes));
    for (;;) {
      await board.sleep(heartbeatMs);
      service.heartbeat();
    }
  };
}

class WifiBoard {
  private readonly reader = new ImprovReader();
  private damaged = 0;
  private joined: SimulatedNetwork | null = null;
  private busy = false;
  private ticks = 0;
  private quietTicks = 0;

  constructor(
    private readonly board: ProgramBoard,
    private readonly networks: readonly SimulatedNetwork[],
  ) {}

  receive(bytes: Uint8Array): void {
    if (this.board.faults.strike('no-improv')) return;
    this.quietTicks = 0;
    this.handle(this.reader.push(bytes).packets);
  }

  /** Called every `heartbeatMs`. An incomplete packet whose rest does not arrive is discarded, so that it does not absorb the next one. */
  heartbeat(): void {
    this.ticks++;
    if (++this.quietTicks === 5) this.handle(this.reader.expire().packets);
    if (this.busy) this.log(`I (${this.ticks * heartbeatMs}) wifi: state: auth -> assoc (0)`);
  }

  private handle(packets: readonly ImprovPacket[]): void {
    for (const packet of packets) {
      if (packet.kind === 'command') void this.obey(packet.command, packet.data).catch(() => undefined);
      else if (packet.kind === 'malformed') this.send(improvError('invalid-packet'));
    }
    if (this.reader.damaged > this.damaged) this.send(improvError('invalid-packet'));
    this.damaged = this.reader.damaged;
  }

  private async obey(command: number, data: Uint8Array): Promise<void> {
    if (command === improvCommands.wifi) return this.join(data);
    if (!(Object.values(improvCommands) as number[]).includes(command)) {
      this.send(improvError('unknown-command'));
      return;
    }
    if (data.length > 0) {
      this.send(improvError('invalid-packet'));
      return;
    }
    this.send(improvError('none'));
    if (command === improvCommands.state) this.tell();
    else if (command === improvCommands.info) {
      const texts = ['aiot', '1.0.0', this.board.identity.name, this.board.mac.replaceAll(':', '')];
      this.send({ kind: 'result', command, texts });
    } else await this.scan();
  }

  private tell(): void {
    if (this.busy) this.send({ kind: 'state', state: 'provisioning' });
    else if (this.joined === null) this.send({ kind: 'state', state: 'ready' });
    else {
      this.send({ kind: 'state', state: 'provisioned' });
      this.send({ kind: 'result', command: improvCommands.state, texts: [] });
    }
  }

  private async scan(): Promise<void> {
    await this.board.sleep(scanMs);
    for (const [at, { ssid, password }] of this.networks.filter(({ hidden }) => !hidden).entries()) {
      const texts = [ssid, String(strongestDbm - at * stepDbm), password === '' ? 'NO' : 'YES'];
      this.send({ kind: 'result', command: improvCommands.networks, texts });
    }
    this.send({ kind: 'result', command: improvCommands.networks, texts: [] });
  }

  private async join(data: Uint8Array): Promise<void> {
    const texts = decodeTexts(data);
    if (texts?.length !== 2 || texts[0] === '' || this.busy) {
      this.send(improvError('invalid-packet'));
      return;
    }
    const [ssid, password] = texts;
    this.busy = true;
    this.send(improvError('none'));
    this.send({ kind: 'state', state: 'provisioning' });
    this.log(`I (${this.ticks * heartbeatMs}) aiot: joining ${ssid}`);
    await this.board.sleep(joinMs);
    if (this.board.faults.strike('wifi-hang')) return;
    const found = this.networks.find((each) => each.ssid === ssid && each.password === password);
    this.busy = false;
    if (found) {
      this.joined = found;
      this.send({ kind: 'state', state: 'provisioned' });
      this.send({ kind: 'result', command: improvCommands.wifi, texts: [] });
      return;
    }
    this.log(`W (${this.ticks * heartbeatMs}) aiot: ${ssid} cannot be joined`);
    this.send(improvError('unable-to-connect'));
    this.send({ kind: 'state', state: this.joined === null ? 'ready' : 'provisioned' });
  }

  private log(line: string): void {
    this.board.print(`${line}\r\n`);
  }

  private send(packet: Exclude<ImprovPacket, { kind: 'malformed' }>): void {
    if (this.board.faults.strike('chatter')) this.log('E (312) app: sensor does not answer');
    this.board.send(encodeImprov(packet));
  }
}
