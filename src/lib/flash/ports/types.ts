import { z } from 'zod';
import { type ChipName, chipNames } from '../../formats/esp-image/chips.js';

const usbSchema = z.object({
  vendorId: z.string().describe('Four hex digits, lower case.'),
  productId: z.string().describe('Four hex digits, lower case.'),
  serialNumber: z.string().nullable().describe('As the adapter tells it; null where it has none.'),
  interface: z.number().nullable().describe('Which of several ports of one adapter, from 0.'),
});

/** A serial port of this machine and what is known of it without opening it. */
export const portSchema = z.object({
  path: z.string().describe('What --port takes: /dev/ttyUSB0, /dev/cu.usbserial-0001, COM3.'),
  kind: z.enum(['usb', 'onboard', 'bluetooth']),
  usb: usbSchema.nullable(),
  manufacturer: z.string().nullable(),
  product: z.string().nullable(),
  adapter: z.string().nullable().describe('What converts USB to serial; null where it is not known.'),
  chips: z
    .array(z.enum(chipNames as [ChipName, ...ChipName[]]))
    .describe('Chips that this USB identity allows; empty: any.'),
  board: z.boolean().describe('Whether a board can be expected here: a port is only chosen among these.'),
  access: z.enum(['ok', 'denied', 'unknown']),
  group: z.string().nullable().describe('Whom one has to belong to where access is denied.'),
  busy: z.boolean().nullable().describe('Null: this system does not tell without opening it.'),
  holders: z.array(z.object({ pid: z.number(), name: z.string() })).describe('Programs that have it open.'),
  alias: z.string().nullable().describe('A name that stays the same wherever it is plugged in.'),
});
export type PortInfo = z.infer<typeof portSchema>;

/** What a system's listing says, before anything is looked up. */
export type ListedPort = Pick<PortInfo, 'path' | 'kind' | 'usb' | 'manufacturer' | 'product' | 'alias'>;
