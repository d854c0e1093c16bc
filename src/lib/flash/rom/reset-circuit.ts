import type { ControlLines } from '../port/types.js';

/** How DTR and RTS reach the chip: through a USB bridge and two transistors, or in the chip's own USB-Serial-JTAG. */
export type Bridge = 'uart' | 'usb-jtag';

export interface ResetPins {
  /** EN is low: the chip does nothing. */
  held: boolean;
  /** The boot pin (GPIO0, GPIO9 on a C3) is pulled low. */
  bootLow: boolean;
}

/**
 * The auto-reset circuit of Espressif's boards: RTS pulls EN low and DTR the boot pin, each only while the other is not
 * asserted. The USB-Serial-JTAG unit instead remembers DTR until the reset. Source: ESP32-DevKitC's schematic; ESP32-C3
 * technical reference manual, "USB Serial/JTAG Controller", table of DTR and RTS.
 */
export class ResetCircuit {
  private latched = false;

  constructor(private readonly bridge: Bridge) {}

  set({ dtr, rts }: ControlLines): ResetPins {
    if (this.bridge === 'uart') return { held: rts && !dtr, bootLow: dtr && !rts };
    const pins = { held: rts && !dtr, bootLow: this.latched };
    if (dtr) this.latched = true;
    else if (!rts) this.latched = false;
    return { held: pins.held, bootLow: pins.held ? this.latched : pins.bootLow };
  }
}
