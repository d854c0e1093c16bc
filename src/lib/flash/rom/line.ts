import { AiotError } from '../../core/index.js';
import { LineListeners } from '../port/listeners.js';
import { lineLost } from '../port/lost.js';
import type { ControlLines, LineListener, SerialLine } from '../port/types.js';
import type { SimulatedChip } from './chip.js';

/**
 * A line to a simulated chip in this process, with DTR and RTS, and with both ends' speeds: at another speed than the
 * chip's only garbage passes. `baud` is the host's first speed.
 */
export function simulatedLine(
  chip: SimulatedChip,
  options: { address?: string; baud?: number } = {},
): SerialLine {
  return new SimulatedLine(chip, options.address ?? 'simulated://chip', options.baud ?? 115_200);
}

class SimulatedLine implements SerialLine {
  readonly kind = 'simulated';
  readonly usb = null;
  readonly hasControlLines = true;
  private readonly listeners = new LineListeners();
  private readonly leave: (() => void)[];
  private open = true;

  constructor(
    private readonly chip: SimulatedChip,
    readonly address: string,
    public baud: number,
  ) {
    if (chip.unplugged) chip.plug();
    this.leave = [
      chip.onOutput((bytes) => this.arrive(bytes)),
      chip.onUnplugged(() => this.end(lineLost(address, 'the cable was pulled'))),
    ];
  }

  listen(listener: LineListener): () => void {
    return this.listeners.listen(listener);
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.requireOpen();
    const copy = bytes.slice();
    // A real line never answers before write has returned.
    setImmediate(() => {
      if (this.open) this.chip.receive(copy, this.baud);
    });
  }

  async setBaud(baud: number): Promise<void> {
    this.requireOpen();
    if (baud < 1) throw new AiotError('AIOT_SERIAL_BAUD', `${this.address}: ${baud} is no speed`);
    this.baud = baud;
  }

  async setControlLines(lines: ControlLines): Promise<void> {
    this.requireOpen();
    this.chip.setControlLines(lines);
  }

  async close(): Promise<void> {
    this.end(null);
  }

  private arrive(bytes: Uint8Array): void {
    const readable = Math.abs(this.baud / this.chip.uart.baud - 1) < 0.03;
    this.listeners.data(readable ? bytes : this.chip.faults.garble(bytes));
  }

  private end(error: Error | null): void {
    this.open = false;
    for (const leave of this.leave.splice(0)) leave();
    this.listeners.closed(error);
  }

  private requireOpen(): void {
    if (!this.open) throw lineLost(this.address, 'the line is closed');
  }
}
