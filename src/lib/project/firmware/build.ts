import { z } from 'zod';
import { type Inspected, inspectedSchema, inspectFirmware } from '../../flash/images/inspect.js';
import { openFirmware } from './folder.js';
import { regenerate } from './generated.js';
import { sensorNotes } from './sensors.js';
import {
  buildTarget,
  type FirmwareTarget,
  firmwareTargets,
  type VendorTool,
  vendorTools,
} from './targets.js';

const madeSchema = z.object({
  file: z.string(),
  kind: inspectedSchema.shape.kind,
  bytes: z.int(),
  /** As binutils' size counts them; null = it has no sections. */
  text: z.int().nullable(),
  data: z.int().nullable(),
  bss: z.int().nullable(),
});

export const firmwareBuildSchema = z.object({
  dir: z.string(),
  name: z.string(),
  version: z.string(),
  /** Type of device that aiot.yaml names; null = it names none. */
  type: z.string().nullable(),
  target: z.enum(firmwareTargets),
  tool: z.enum(['cmake', ...vendorTools]),
  /** Paths that were made anew because aiot.yaml had changed. */
  regenerated: z.array(z.string()),
  /** All that was made, what is to be used first. */
  files: z.array(madeSchema),
  /** The first of them, as `firmware inspect` tells of it. */
  main: inspectedSchema,
  seconds: z.number(),
  notes: z.array(z.string()),
});
export type FirmwareBuild = z.output<typeof firmwareBuildSchema>;

export interface FirmwareBuildOptions {
  dir: string;
  target: FirmwareTarget;
  tool?: VendorTool | undefined;
  signal?: AbortSignal;
  /** Long work begins: what it is. */
  onStage?: (text: string) => void;
}

/**
 * Builds a firmware folder for one target, after what follows from aiot.yaml was made anew where that changed.
 * @throws AIOT_FIRMWARE_MISSING, AIOT_PROJECT_INVALID, AIOT_PROGRAM_NOT_FOUND, AIOT_FIRMWARE_BUILD
 */
export async function buildFirmware(options: FirmwareBuildOptions): Promise<FirmwareBuild> {
  const { target, tool, signal } = options;
  const folder = await openFirmware(options.dir);
  const { config } = folder.project;
  const regenerated = await regenerate(folder.dir, config);
  const version = config.firmware?.version ?? '0.1.0';
  const started = performance.now();
  options.onStage?.(`Building ${config.name} for ${target}`);
  const built = await buildTarget(target, { folder, version, tool, signal });
  const seconds = (performance.now() - started) / 1000;
  const main = await inspectFirmware(built.main);
  const others = await Promise.all(built.others.map((file) => inspectFirmware(file)));
  return {
    dir: folder.dir,
    name: config.name,
    version,
    type: config.firmware?.type ?? null,
    ...{ target, tool: built.tool, regenerated },
    files: [main, ...others].map(brief),
    main,
    seconds,
    notes: target.startsWith('esp32') ? sensorNotes(config) : [],
  };
}

function brief({ file, kind, bytes, elf }: Inspected): z.output<typeof madeSchema> {
  return { file, kind, bytes, text: elf?.text ?? null, data: elf?.data ?? null, bss: elf?.bss ?? null };
}
