import type { Page } from 'playwright-core';
import type { SimulatedChip } from '../../src/lib/flash/rom/chip.js';
import { simulatedLine } from '../../src/lib/flash/rom/serve.js';

/** A request of the page's stand-in, and what the browser's own implementation would do with it. */
type Request = { port: number } & (
  | { op: 'choose' | 'close' | 'read' }
  | { op: 'open'; baud: number }
  | { op: 'write'; bytes: string }
  | { op: 'signals'; dtr: boolean; rts: boolean }
);

export interface PluggedBoard {
  /** Plugs another chip into the same cable; null = none. The page must choose its port again. */
  plug(chip: SimulatedChip | null): void;
  /** Whether another program holds the port. */
  busy: boolean;
  /** Whether the browser has another port object for a board that returns after a reset, as for boards without a serial number. */
  returnsAsOther: boolean;
  /** Whether the page receives no event when the board returns. */
  silentReturn: boolean;
  /** Speeds with which the page has opened the port. */
  readonly bauds: number[];
}

/** USB IDs of a port: a CP2102 in front of a UART, and the USB port inside a chip. */
export const usbIds = {
  uart: { usbVendorId: 0x10c4, usbProductId: 0xea60 },
  chip: { usbVendorId: 0x303a, usbProductId: 0x1001 },
};

/**
 * Makes a simulated chip the only serial port of a page. It stands in for `navigator.serial`, because a browser without a window has no
 * ports and no list to choose from. Streams, errors and events follow the specification, https://wicg.github.io/serial/.
 */
export async function plugInto(
  page: Page,
  first: SimulatedChip | null,
  usb = usbIds.uart,
): Promise<PluggedBoard> {
  let chip = first;
  let line: ReturnType<typeof simulatedLine> | null = null;
  let received: Uint8Array[] = [];
  let state: 'closed' | 'open' | 'lost' = 'closed';
  /** The page's port object that has opened the line. */
  let owner = 0;
  let wake = () => {};
  const board: PluggedBoard = {
    plug: (other) => {
      chip = other;
    },
    busy: false,
    returnsAsOther: false,
    silentReturn: false,
    bauds: [],
  };
  const close = async () => {
    const own = line;
    line = null;
    if (state === 'open') state = 'closed';
    await own?.close();
    wake();
  };
  await page.exposeBinding('simulatedBoard', async (_source, request: Request) => {
    if (request.op !== 'choose' && request.op !== 'open' && request.port !== owner)
      return request.op === 'read' ? { bytes: '', state: 'lost' } : 'lost';
    switch (request.op) {
      case 'choose':
        return chip !== null;
      case 'open': {
        if (board.busy || chip === null || chip.isAbsent) return 'busy';
        owner = request.port;
        board.bauds.push(request.baud);
        line = simulatedLine(chip, { baud: request.baud });
        received = [];
        state = 'open';
        line.listen({
          data: (bytes) => {
            received.push(bytes.slice());
            wake();
          },
          closed: (error) => {
            if (error) state = 'lost';
            wake();
          },
        });
        return 'open';
      }
      case 'close':
        return await close();
      case 'signals':
        if (state !== 'open' || line === null) return 'lost';
        await line.setControlLines({ dtr: request.dtr, rts: request.rts });
        return 'set';
      case 'write':
        if (state !== 'open' || line === null) return 'lost';
        await line.write(Buffer.from(request.bytes, 'base64'));
        return 'written';
      case 'read': {
        while (received.length === 0 && state === 'open' && request.port === owner)
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        if (request.port !== owner) return { bytes: '', state: 'lost' };
        const bytes = Buffer.concat(received.splice(0)).toString('base64');
        return { bytes, state };
      }
    }
  });
  await page.addInitScript(standIn, usb);
  // As in a browser, the page learns of the loss when it occurs, whether it is reading or not, and before the return.
  first?.onUnplugged(() => {
    if (owner === 0) return;
    const lose = (port: number) =>
      (globalThis as unknown as { simulatedLoss: (port: number) => void }).simulatedLoss(port);
    void page.evaluate(lose, owner).catch(() => undefined);
  });
  first?.onPlugged(() => {
    const returned = (asOther: boolean) =>
      (globalThis as unknown as { simulatedReturn: (asOther: boolean) => void }).simulatedReturn(asOther);
    if (board.silentReturn) return;
    // The page may have been closed meanwhile.
    void page.evaluate(returned, board.returnsAsOther).catch(() => undefined);
  });
  return board;
}

/** Runs in the page. */
function standIn(usb: { usbVendorId: number; usbProductId: number }): void {
  const own = globalThis as unknown as {
    navigator: object;
    simulatedBoard: (request: unknown) => Promise<never>;
    simulatedReturn: (asOther: boolean) => void;
    simulatedLoss: (port: number) => void;
  };
  const bridge = own.simulatedBoard;
  const toText = (bytes: Uint8Array) => btoa(String.fromCharCode(...bytes));
  const toBytes = (text: string) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const networkError = (message: string) => new DOMException(message, 'NetworkError');

  let made = 0;
  class SimulatedPort extends EventTarget {
    readonly #id = ++made;
    readable: ReadableStream<Uint8Array> | null = null;
    writable: WritableStream<Uint8Array> | null = null;
    #lines = { dtr: false, rts: false };
    #isOpen = false;
    #input: ReadableStreamDefaultController<Uint8Array> | null = null;

    getInfo() {
      return usb;
    }

    async open({ baudRate }: { baudRate: number }) {
      if (this.#isOpen) throw new DOMException('The port is already open.', 'InvalidStateError');
      const state = (await bridge({ port: this.#id, op: 'open', baud: baudRate })) as string;
      if (state === 'busy') throw networkError('Failed to open serial port.');
      this.#isOpen = true;
      this.readable = new ReadableStream<Uint8Array>({
        start: (controller) => {
          this.#input = controller;
        },
        pull: async (controller) => {
          const { bytes, state } = (await bridge({ port: this.#id, op: 'read' })) as {
            bytes: string;
            state: string;
          };
          // The loss of the port may have been noticed meanwhile.
          if (this.#input !== controller) return;
          if (bytes !== '') controller.enqueue(toBytes(bytes));
          else if (state === 'lost') this.lose();
        },
      });
      this.writable = new WritableStream<Uint8Array>({
        write: async (chunk) => {
          if ((await bridge({ port: this.#id, op: 'write', bytes: toText(chunk) })) === 'lost')
            throw networkError('The device has been lost.');
        },
      });
    }

    get id() {
      return this.#id;
    }

    lose() {
      if (!this.#isOpen) return;
      this.#input?.error(networkError('The device has been lost.'));
      this.#input = null;
      this.readable = null;
      this.writable = null;
      this.#isOpen = false;
      this.dispatchEvent(new Event('disconnect', { bubbles: true }));
    }

    async setSignals(given: { dataTerminalReady?: boolean; requestToSend?: boolean }) {
      if (!this.#isOpen) throw new DOMException('The port is closed.', 'InvalidStateError');
      this.#lines.dtr = given.dataTerminalReady ?? this.#lines.dtr;
      this.#lines.rts = given.requestToSend ?? this.#lines.rts;
      if ((await bridge({ port: this.#id, op: 'signals', ...this.#lines })) === 'lost')
        throw networkError('Failed to set control signals.');
    }

    async close() {
      if (!this.#isOpen) throw new DOMException('The port is already closed.', 'InvalidStateError');
      if (this.readable?.locked || this.writable?.locked)
        throw new TypeError('A stream of the port is locked.');
      this.#isOpen = false;
      this.#input = null;
      this.readable = null;
      this.writable = null;
      await bridge({ port: this.#id, op: 'close' });
    }
  }

  let chosen = new SimulatedPort();
  const serial = Object.assign(new EventTarget(), {
    requestPort: async () => {
      if (!(await bridge({ port: 0, op: 'choose' })))
        throw new DOMException('No port selected.', 'NotFoundError');
      chosen = new SimulatedPort();
      return chosen;
    },
    getPorts: async () => [],
  });
  own.simulatedLoss = (port) => {
    if (chosen.id === port) chosen.lose();
  };
  own.simulatedReturn = (asOther) => {
    if (asOther) chosen = new SimulatedPort();
    const event = new Event('connect', { bubbles: true });
    Object.defineProperty(event, 'target', { value: chosen });
    serial.dispatchEvent(event);
  };
  Object.defineProperty(own.navigator, 'serial', { value: serial, configurable: true });
}
