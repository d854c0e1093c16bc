import * as z from 'zod';

/** Heap of a small board, bytes: free memory, the largest free block, and the minimum of free memory since the board's start. */
export const heapSchema = z.object({
  free: z.int().min(0),
  largest: z.int().min(0),
  least: z.int().min(0),
});
export type Heap = z.output<typeof heapSchema>;

/** A device's readings about itself. Each is absent if the device does not measure it. */
export const vitalsSchema = z.looseObject({
  /** Time since the device's start, ms. */
  uptimeMs: z.int().min(0).optional(),
  /** Strength of the Wi-Fi signal, dBm. */
  rssiDbm: z.int().min(-255).max(0).optional(),
  battery: z.object({ percent: z.number().min(0).max(100) }).optional(),
  disk: z.object({ freeBytes: z.int().min(0), totalBytes: z.int().min(0) }).optional(),
  /** Messages in the device's queue, and messages that it has dropped since its start because the queue was full. */
  queue: z.object({ waiting: z.int().min(0), dropped: z.int().min(0) }).optional(),
  /** Reason for the last restart. */
  boot: z
    .object({ reason: z.enum(['power-on', 'software', 'panic', 'watchdog', 'brownout', 'other']) })
    .optional(),
});
export type Vitals = z.output<typeof vitalsSchema>;
export type BootReason = NonNullable<Vitals['boot']>['reason'];
