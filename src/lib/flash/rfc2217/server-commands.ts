import { hasCode } from '../../core/index.js';
import type { SerialLine } from '../port/types.js';
import { answerOffset, command, control, format, option } from './constants.js';
import { ControlRelay } from './control-lines.js';
import { fromBigEndian, toBigEndian } from './numbers.js';
import { subnegotiation } from './telnet.js';

/** The COM port option's commands, done on a line (RFC 2217, 3). Each is answered with what holds then. */
export class ComPort {
  private readonly relay: ControlRelay;
  /** True while the client has asked for silence. */
  suspended = false;

  constructor(
    private readonly line: SerialLine,
    private readonly signature: string,
  ) {
    this.relay = new ControlRelay((lines) => line.setControlLines(lines));
  }

  /** The answer to one command; empty where none is due. @throws AIOT_SERIAL_LOST */
  async run(bytes: Uint8Array): Promise<Uint8Array> {
    const [code = 0, ...values] = bytes;
    const value = values[0] ?? 0;
    switch (code) {
      case command.SIGNATURE:
        return values.length > 0 ? nothing : answer(code, new TextEncoder().encode(this.signature));
      case command.SET_BAUDRATE:
        return answer(code, toBigEndian(await this.baud(values)));
      case command.SET_DATASIZE:
      case command.SET_PARITY:
      case command.SET_STOPSIZE:
        return answer(code, [format[code]]);
      case command.SET_CONTROL:
        return answer(code, [await this.control(value)]);
      case command.NOTIFY_LINESTATE:
      case command.NOTIFY_MODEMSTATE:
        // A board's USB bridge has no modem behind it: no state is kept, and none is made up.
        return answer(code, [0]);
      case command.FLOWCONTROL_SUSPEND:
      case command.FLOWCONTROL_RESUME:
        this.suspended = code === command.FLOWCONTROL_SUSPEND;
        return nothing;
      case command.SET_LINESTATE_MASK:
      case command.SET_MODEMSTATE_MASK:
      case command.PURGE_DATA:
        return answer(code, [value]);
      default:
        return nothing;
    }
  }

  /** What is told unasked once a client speaks RFC 2217; pyserial's waits for it before it tells CTS and DSR. */
  get modemState(): Uint8Array {
    return answer(command.NOTIFY_MODEMSTATE, [0]);
  }

  /** Lets both lines go, as a closed port does. */
  async end(): Promise<void> {
    this.relay.release();
    if (this.relay.lines.dtr || this.relay.lines.rts) await this.relay.change({ dtr: false, rts: false });
    this.relay.release();
  }

  /** The speed that holds then: where the port does not do the wanted one, that is the one before. */
  private async baud(values: number[]): Promise<number> {
    const wanted = fromBigEndian(values);
    if (wanted === 0 || wanted === this.line.baud) return this.line.baud;
    await this.line.setBaud(wanted).catch((error: unknown) => {
      if (!hasCode(error, 'AIOT_SERIAL_BAUD')) throw error;
    });
    return this.line.baud;
  }

  private async control(value: number): Promise<number> {
    if (value === control.DTR_ON || value === control.DTR_OFF)
      await this.relay.change({ dtr: value === control.DTR_ON });
    if (value === control.RTS_ON || value === control.RTS_OFF)
      await this.relay.change({ rts: value === control.RTS_ON });
    if (value >= control.ASK_DTR && value <= control.DTR_OFF)
      return this.relay.lines.dtr ? control.DTR_ON : control.DTR_OFF;
    if (value >= control.ASK_RTS && value <= control.RTS_OFF)
      return this.relay.lines.rts ? control.RTS_ON : control.RTS_OFF;
    // No break and no flow control: these lines have neither.
    if (value >= control.ASK_BREAK && value <= control.BREAK_OFF) return control.BREAK_OFF;
    return value >= control.ASK_FLOW_IN && value <= control.FLOW_IN_HARDWARE
      ? control.FLOW_IN_NONE
      : control.FLOW_NONE;
  }
}

function answer(code: number, values: Iterable<number>): Uint8Array {
  return subnegotiation(option.COM_PORT, Uint8Array.of(code + answerOffset, ...values));
}

const nothing = new Uint8Array(0);
